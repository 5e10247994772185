"""Medians of bootstrap resamples of many values, drawn by rank instead of value by value. No I/O.

A resample of ``n`` values is never made. The ranks of its middle values are order statistics of ``n`` uniform numbers,
which have beta distributions. Of pairs, the values that go with a resample's lower and upper half are again uniform
draws from a part of the pairs; their middle is found by halving the ranks and drawing, from a binomial distribution,
how many of the resample lie in either half. The medians have exactly the distribution that resampling gives, for the
work of some twenty draws instead of ``n``. Source: David and Nagaraja, Order Statistics, sections 2.1 and 2.5.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Values = NDArray[np.float64]
    Places = NDArray[np.int64]


def medians(values: Values, resamples: int, rng: np.random.Generator) -> Values:
    """Return the medians of resamples of a sample, of shape (resamples,)."""
    ordered = np.sort(values)
    lower, upper, _ = _middle(len(values), resamples, rng)
    return (ordered[lower] + ordered[upper]) / 2


def paired_medians(
    subject: Values, reference: Values, resamples: int, rng: np.random.Generator
) -> tuple[Values, Values]:
    """Return the medians of both sides of resamples of pairs, each of shape (resamples,)."""
    order = np.argsort(subject, kind="stable")
    ours = subject[order]
    theirs = np.argsort(reference[order], kind="stable")
    ranks = np.empty(len(theirs), np.int64)
    ranks[theirs] = np.arange(len(theirs))
    lower, upper, beside = _middle(len(subject), resamples, rng)
    of_reference = _middle_of_partners(ranks, (lower, upper), beside, rng)
    ordered = reference[order][theirs]
    return (ours[lower] + ours[upper]) / 2, ordered[of_reference].mean(axis=0)


def _middle(n: int, resamples: int, rng: np.random.Generator) -> tuple[Places, Places, tuple[Places, Places]]:
    """Return the ranks, from 0, of the two middle values of each resample, which are one where ``n`` is odd.

    Beside them, how many more values of its lower half have the rank of the lower one, and of its upper half that of
    the upper one.
    """
    before = (n - 1) // 2  # how many of the resample are below the lower middle one, and above the upper one
    low = rng.beta(before + 1, n - before, resamples)
    high = low if n % 2 else low + (1 - low) * rng.beta(1, before + 1, resamples)
    lower, upper = (np.minimum((n * share).astype(np.int64), n - 1) for share in (low, high))
    same_below = rng.binomial(before, ((n * low - lower) / (n * low)).clip(0, 1))
    same_above = rng.binomial(before, ((upper + 1 - n * high) / (n - n * high)).clip(0, 1))
    return lower, upper, (same_below, same_above)


def _middle_of_partners(
    ranks: Places, middle: tuple[Places, Places], same: tuple[Places, Places], rng: np.random.Generator
) -> Places:
    """Return the ranks of the partners' two middle values, of shape (2, resamples).

    ``ranks`` are the partners' ranks in the order of the values whose middle is known. The rows of all arrays are the
    lower and the upper middle value; they part where a half of the ranks ends between them, and share all draws until
    then. Places are counted in the wavelet matrix of the ranks: there, the partners of a range of ranks are neighbours,
    still in the order of the values.
    """
    n = len(ranks)
    before = (n - 1) // 2
    lower, upper = middle
    shape = (2, len(lower))
    # Each in both rows: where the range begins and ends; between, where its lower half ends and its upper one begins.
    edges = np.stack([np.broadcast_to(edge, shape) for edge in (np.int64(0), lower, upper + 1, np.int64(n))])
    # How many of the resample in this range: from the lower half, from the upper one, at the two middle ones.
    below = np.broadcast_to(before - same[0], shape)
    above = np.broadcast_to(before - same[1], shape)
    # One value is both middle ones where n is odd.
    alone = (same[0] + same[1] + 1, np.zeros_like(same[1])) if n % 2 else (same[0] + 1, same[1] + 1)
    points = [
        (np.broadcast_to(ranks[at], shape), np.broadcast_to(count, shape))
        for at, count in zip(middle, alone, strict=True)
    ]
    wanted = np.stack([np.full(len(lower), before + 1), np.full(len(lower), before + 1 + (n % 2 == 0))])
    together = np.ones(len(lower), bool)
    found = np.zeros(shape, np.int64)
    level = ranks
    for bit in reversed(range(max(1, (n - 1).bit_length()))):
        is_right = (level >> bit) & 1
        lefts = np.concatenate([[0], np.cumsum(1 - is_right)])
        left_edges = lefts[edges]
        sizes, left_sizes = np.diff(edges, axis=0), np.diff(left_edges, axis=0)
        shares = left_sizes / np.maximum(sizes, 1)
        below_left = _drawn(below, shares[0], together, rng)
        above_left = _drawn(above, shares[2], together, rng)
        middle_left = [count * (rank >> bit == found >> bit) for rank, count in points]
        left = below_left + above_left + middle_left[0] + middle_left[1]
        goes_right = wanted > left
        wanted = np.where(goes_right, wanted - left, wanted)
        below = np.where(goes_right, below - below_left, below_left)
        above = np.where(goes_right, above - above_left, above_left)
        edges = np.where(goes_right, lefts[-1] + edges - left_edges, left_edges)
        found = found | (goes_right.astype(np.int64) << bit)
        together = together & (goes_right[0] == goes_right[1])
        level = np.concatenate([level[is_right == 0], level[is_right == 1]])
    return found


def _drawn(counts: Places, shares: Values, together: NDArray[np.bool_], rng: np.random.Generator) -> Places:
    """Return how many of the counts lie in the left half; the second row repeats the first where both are together."""
    left = np.empty_like(counts)
    left[0] = left[1] = rng.binomial(counts[0], shares[0])
    apart = ~together
    if apart.any():
        left[1, apart] = rng.binomial(counts[1, apart], shares[1, apart])
    return left
