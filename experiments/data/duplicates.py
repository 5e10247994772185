"""Texts that stand in a data set more than once: how many, and how many would train and test at once."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from experiments.data.content import Content

# Enough that no two different texts of a data set have the same digest.
DIGEST_BYTES = 16


@dataclass(frozen=True, slots=True)
class Duplicates:
    """How many texts repeat an earlier one, and how many texts stand under another label, too."""

    texts: int
    under_other_labels: int


def identities(texts: Sequence[str]) -> list[int]:
    """Return a number for each text, the same for texts that differ by case and blanks only.

    Empty texts are no duplicates of each other: there is nothing in them that could be known from training.
    """
    numbers: dict[bytes, int] = {}
    return [
        numbers.setdefault(_digest(text) if text.strip() else b"%d" % position, position)
        for position, text in enumerate(texts)
    ]


def count(texts: Sequence[str], labels: Sequence[str]) -> Duplicates:
    """Return how many texts repeat an earlier one."""
    numbers = identities(texts)
    labels_of = Counter(number for number, _ in set(zip(numbers, labels, strict=True)))
    return Duplicates(
        texts=len(numbers) - len(set(numbers)),
        under_other_labels=sum(labels_of[number] > 1 for number in numbers),
    )


def removed(content: Content) -> Content:
    """Return what a source holds without the texts that repeat an earlier one, whatever their label."""
    kept = [position for position, number in enumerate(identities(content.texts)) if number == position]
    return replace(
        content,
        texts=[content.texts[position] for position in kept],
        labels=[content.labels[position] for position in kept],
        places=[content.places[position] for position in kept] if content.places else (),
    )


def _digest(text: str) -> bytes:
    words = " ".join(text.casefold().split())
    return blake2b(words.encode("utf-8", "surrogatepass"), digest_size=DIGEST_BYTES).digest()
