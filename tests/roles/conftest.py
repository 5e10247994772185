"""What tests of roles may ask for beside what every test may."""

from __future__ import annotations

from cluster import cluster
from testbed import lab

__all__ = ["cluster", "lab"]
