"""Fit of a light curve."""
