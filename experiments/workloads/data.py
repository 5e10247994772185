"""A run's data set, and a repetition's share of it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated

import msgspec

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

Weight = Annotated[float, msgspec.Meta(gt=0)]


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


class Division(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the training texts are divided among base stations: by ``weights``, one each, or each label by a draw.

    With ``alpha`` the base stations' shares of each label are drawn from a symmetric Dirichlet distribution, as
    federated learning is measured with (Hsu, Qi and Brown 2019): the smaller, the more the labels are apart.
    """

    weights: tuple[Weight, ...]
    alpha: Weight | None = None

    def owners(self, split: Sequence[int], labels: Sequence[str], rng: random.Random) -> list[int]:
        """Return for each row, by its number, which base station has it; numbers are places in ``weights``."""
        owners = [0] * len(labels)
        for label in sorted(set(labels)) if self.alpha is not None else [None]:
            of_label = [row for row in split if label is None or labels[row] == label]
            for row, owner in zip(of_label, turns(self._shares(rng)), strict=False):
                owners[row] = owner
        return owners

    def _shares(self, rng: random.Random) -> Sequence[float]:
        if self.alpha is None:
            return self.weights
        drawn = [rng.gammavariate(self.alpha, 1) for _ in self.weights]
        if not any(drawn):  # a small alpha: all are too small for a number, and one of them is the largest
            drawn[rng.randrange(len(drawn))] = 1.0
        return drawn


def turns(weights: Sequence[float]) -> Iterator[int]:
    """Yield for ever whose turn it is: after any number of turns each has had its share of them, to less than a few.

    Smooth weighted round robin: the one that lacks most has its turn.
    """
    whole = sum(weights)
    lacks = [0.0] * len(weights)
    while True:
        lacks = [lack + weight for lack, weight in zip(lacks, weights, strict=True)]
        chosen = max(range(len(lacks)), key=lacks.__getitem__)
        lacks[chosen] -= whole
        yield chosen


def cut(split: Sequence[int], test_share: float, training_shares: Iterable[float]) -> Cut:
    """Cut a permutation into a test set and one training set a request, each share rounded to whole texts."""
    bounds = [0.0, test_share]
    for share in training_shares:
        bounds.append(bounds[-1] + share)
    edges = [round(len(split) * bound) for bound in bounds]
    parts = [tuple(split[start:end]) for start, end in pairwise(edges)]
    return Cut(parts[0], tuple(parts[1:]))


def part(whole: Cut, owners: Sequence[int], owner: int) -> Cut:
    """Return the part of a cut that one base station has: all of its test rows, and of the training rows its own."""
    return Cut(whole.test, tuple(tuple(row for row in rows if owners[row] == owner) for rows in whole.training))
