"""Where releases run: hosts over SSH (`compose`), or a cluster."""
