"""What tests of roles may ask for beside what every test may."""

from __future__ import annotations

from testbed import lab

__all__ = ["lab"]
