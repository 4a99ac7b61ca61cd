"""Slipway: from a bare host to a verified, loss-free deploy of containerised AI services."""
