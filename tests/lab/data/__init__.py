"""Tests that share a lab, which goes after the last of them."""
