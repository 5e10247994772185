"""Sampling how busy a node is."""
