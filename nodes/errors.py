"""The root of the errors that a user can meet, and those of inventories and playbooks."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

# How much of a key is told; those that somebody meant are shorter.
PART_CHARACTERS = 100


def printable(sentence: str) -> str:
    """Return a sentence without what a terminal obeys: it may hold what a node or a service answered."""
    return "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in sentence)


def printable_lines(text: str) -> str:
    """Return a text of several lines without what a terminal obeys."""
    return "\n".join(map(printable, text.split("\n")))


def place(parts: Iterable[object]) -> str:
    """Return where in a document something is: keys and numbers with dots between them, as a terminal may get them."""
    return ".".join(printable(str(part)[:PART_CHARACTERS]) for part in parts)


class FaasbedError(Exception):
    """Something the user can put right; its text is one or two lines for the terminal."""

    exit_code = 2

    def __str__(self) -> str:
        """Return the message as a terminal may get it."""
        return printable_lines(super().__str__())


class InventoryError(FaasbedError):
    """An inventory that is missing or lacks nodes or variables."""


class LockError(FaasbedError):
    """Another run uses the inventory, or the lock cannot be made."""


class PlaybookError(FaasbedError):
    """A playbook failed; the text is the failed task's own."""

    exit_code = 1


class UnreachableError(PlaybookError):
    """A node did not answer over SSH."""
