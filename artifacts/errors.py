"""What can go wrong with an artifact: one sentence each, what, where, what to do."""

from __future__ import annotations


class ArtifactError(RuntimeError):
    """An artifact cannot be had, or is not the expected one."""
