"""The search for the best point of a grid: the fast engine, and the plain one that it must equal."""
