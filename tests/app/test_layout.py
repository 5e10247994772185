"""Columns renumbered for locality: the same matrix, in which a training row's terms ascend."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.models.fits.layout import aligned_zeros, by_first_met
from app.text.matrix import Matrix

ROWS = st.lists(st.lists(st.integers(0, 9), unique=True), min_size=1, max_size=8)


def matrix(rows: list[list[int]], width: int) -> Matrix:
    starts = np.cumsum([0, *map(len, rows)]).astype(np.int32)
    columns = np.array([column for row in rows for column in row], np.int32)
    return Matrix(starts, columns, np.arange(1.0, len(columns) + 1), width)


@given(ROWS)
def test_columns_are_only_renamed_and_numbered_as_they_are_first_met(rows: list[list[int]]):
    terms = list(dict.fromkeys(column for row in rows for column in row))
    place = {term: number for number, term in enumerate(terms)}
    train = matrix([[sorted(terms).index(column) for column in row] for row in rows], len(terms))
    other = matrix([list(range(len(terms)))[::-1]], len(terms))
    new_train, new_other = by_first_met(train, other)
    assert new_train.columns.tolist() == [place[column] for row in rows for column in row]
    assert new_other.columns.tolist() == [place[column] for column in sorted(terms, reverse=True)]
    for old, new in ((train, new_train), (other, new_other)):
        assert np.array_equal(old.values, new.values)
        assert np.array_equal(old.starts, new.starts)
        assert old.width == new.width


@pytest.mark.parametrize("size", [1, 7, 8, 1000, 1_000_000])
def test_aligned_zeros_begin_with_a_cache_line(size: int):
    zeros = aligned_zeros(size)
    assert zeros.ctypes.data % 64 == 0
    assert zeros.shape == (size,)
    assert not zeros.any()
