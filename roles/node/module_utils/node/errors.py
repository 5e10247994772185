"""The error that ends a module with a sentence."""

from __future__ import annotations


class NodeError(RuntimeError):
    """Something on this node that the user can correct: the text says what is wrong, where, and what to do.

    A role's own errors derive from it, so that a module catches one type and passes its text to ``fail_json``.
    """
