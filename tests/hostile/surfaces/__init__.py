"""The surfaces that take what comes from elsewhere: a module each, with the real code behind ``answer``."""

from __future__ import annotations

from typing import Self

SENTENCE_CHARACTERS = 1000


class Opened:
    """A surface that is there while the tests run; most leave nothing behind."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Leave nothing."""


def sentence(error: Exception, most_lines: int = 1) -> str:
    """Return what a user reads of an error, which is a line or two of no endless length."""
    assert 1 <= len(str(error).splitlines()) <= most_lines, error
    assert len(str(error)) < SENTENCE_CHARACTERS, error
    return str(error)
