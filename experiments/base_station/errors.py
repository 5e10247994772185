"""What the programs of the base station fail with."""

from __future__ import annotations


class DriverError(Exception):
    """The driver cannot go on; the text says what, where and what to do."""


def disk_full(where: object) -> str:
    """Return the sentence for a file or folder of the base station that nothing more can be written to."""
    return f"the disk of the base station is full ({where}); make room and go on"
