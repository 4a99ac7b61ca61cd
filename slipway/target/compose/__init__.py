"""Releases as Compose projects on hosts over SSH."""
