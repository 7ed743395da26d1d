"""Formats of records in outside systems."""
