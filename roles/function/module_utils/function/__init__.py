"""The function on a node: who listens where."""
