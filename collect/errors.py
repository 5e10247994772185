"""The error that a user of ``python -m collect`` can meet."""

from __future__ import annotations

from nodes.errors import FaasbedError


class CollectError(FaasbedError):
    """Says what is wrong, where, and what to do."""
