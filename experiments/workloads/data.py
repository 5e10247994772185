"""A run's data set, and a repetition's share of it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path


class Dataset(msgspec.Struct, frozen=True):
    """Texts (``x``) and their labels (``y``), in the same order; a row is an index into both."""

    x: list[str]
    y: list[str]


@dataclass(frozen=True, slots=True)
class Cut:
    """A repetition's data: rows to test with, and rows for each request."""

    test: tuple[int, ...]
    training: tuple[tuple[int, ...], ...]


def read(path: Path) -> Dataset:
    """Return the data set of a file ``{"x": [text, ...], "y": [label, ...]}``.

    Raises:
        OSError: the file cannot be read.
        ValueError: it holds something else.
    """
    return msgspec.json.decode(path.read_bytes(), type=Dataset)


def cut(split: Sequence[int], test_share: float, training_shares: Iterable[float]) -> Cut:
    """Cut a permutation into a test set and one training set a request, each share rounded to whole texts."""
    bounds = [0.0, test_share]
    for share in training_shares:
        bounds.append(bounds[-1] + share)
    edges = [round(len(split) * bound) for bound in bounds]
    parts = [tuple(split[start:end]) for start, end in pairwise(edges)]
    return Cut(parts[0], tuple(parts[1:]))
