"""Logs on a host: read where the engine writes them, kept when their container goes, bounded."""
