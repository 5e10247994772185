"""Replicas and gateways on a node of the platform `process`: what they need, their supervisor, and whether they answer."""
