"""Counts of catalogued sources in a region."""
