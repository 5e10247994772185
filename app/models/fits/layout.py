"""Where weights lie: what one text touches lies close together, so that large corpora cost little more per word."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from app.text.matrix import Matrix

if TYPE_CHECKING:
    from numpy.typing import NDArray

CACHE_LINE_BYTES = 64


def by_first_met(train: Matrix, other: Matrix) -> tuple[Matrix, Matrix]:
    """Both matrices with columns numbered in the order in which a walk over the training rows meets them.

    Frequent terms come first, and the terms of a training row ascend. Entries keep their order and their values, so
    sums over a row keep their floats.
    """
    number_of = _numbers(train.columns, train.width)
    return (
        Matrix(train.starts, number_of[train.columns], train.values, train.width),
        Matrix(other.starts, number_of[other.columns], other.values, other.width),
    )


def aligned_zeros(size: int) -> NDArray[np.float64]:
    """Zeros that begin with a cache line: where they are read eight at a time, that is one line instead of two."""
    item = np.dtype(np.float64).itemsize
    room = np.zeros(size + CACHE_LINE_BYTES // item)
    first = (-room.ctypes.data % CACHE_LINE_BYTES) // item
    return room[first : first + size]


@njit(nogil=True, cache=True)
def _numbers(columns, width):  # type: ignore[no-untyped-def]
    number_of = np.full(width, -1, np.int32)
    met = 0
    for column in columns:
        if number_of[column] < 0:
            number_of[column] = met
            met += 1
    return number_of
