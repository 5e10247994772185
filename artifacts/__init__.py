"""The files that real nodes are made of: downloaded on a connected machine, verified, listed."""
