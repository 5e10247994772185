"""One node of a k3s cluster: what it is, what its k3s reports, and what a cluster leaves on it."""
