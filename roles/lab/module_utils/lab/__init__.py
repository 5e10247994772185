"""Nodes on this machine: what a lab consists of, what is there of it, and what has to change."""
