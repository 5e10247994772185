"""A testbed's links: what they are, how a node shapes them, and how they are measured and judged. Standard library only."""
