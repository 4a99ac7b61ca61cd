"""Faults for the tests of deploys, each produced outside the product: kills, outages, and the count of what they leave behind."""
