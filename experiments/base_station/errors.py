"""What the programs of the base station fail with."""

from __future__ import annotations


class DriverError(Exception):
    """The driver cannot go on; the text says what, where and what to do."""
