"""What can go wrong while results are collected, in one or two lines a user can act on."""

from __future__ import annotations


class CollectError(Exception):
    """A known error: the message says what, where and what to do; ``__main__`` prints it and exits with code 2."""
