"""Substitutes for hardware, libraries and data that a test machine does not have."""
