"""Measurements of the project's own parts, run by ``make bench``."""
