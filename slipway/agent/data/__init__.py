"""Data on a host: what a stack keeps is dumped into a restic repository, proven, listed, and brought back."""
