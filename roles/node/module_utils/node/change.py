"""A change of the node: what differs from the requested state, in words, and how to correct it.

A module lists its changes, then carries them out or, in check mode, only reports them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


@dataclass(frozen=True)
class Change:
    """One thing to do: `sentence` is imperative and without a full stop, `do` is called once to do it."""

    sentence: str
    do: Callable[[], object]


def carry_out(changes: Iterable[Change]) -> None:
    """Do the changes in their order; each is asked for only when the one before it is done."""
    for change in changes:
        change.do()


def outcome(sentences: Iterable[str]) -> dict[str, Any]:
    """Return the result of a module that made, or would make, these changes.

    Returns:
        `changed`, the sentences as `changes`, and a `diff` that shows one sentence a line.
    """
    changes = list(sentences)
    diff = {"before": "", "after": "".join(f"{sentence}\n" for sentence in changes)}
    return {"changed": bool(changes), "changes": changes, "diff": diff}
