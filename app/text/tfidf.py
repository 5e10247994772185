"""The tf-idf matrices of a fold, sliced from the counts instead of read from the texts again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from app.errors import InputError
from app.text.matrix import Matrix

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from app.text.corpus import Corpus


def fold_matrices(corpus: Corpus, train: NDArray[np.int64], other: NDArray[np.int64]) -> tuple[Matrix, Matrix]:
    """The tf-idf of training rows, and of other rows in the training rows' terms.

    Bit for bit what ``TfidfVectorizer.fit_transform`` and ``transform`` give, down to the order of a row's entries:
    training rows in the order the terms were first met, other rows in sorted order.

    Raises:
        InputError: the training rows hold no term at all.
    """
    frequency, first_met = _first_met(corpus.starts, corpus.terms, train, corpus.term_count)
    present = np.flatnonzero(frequency)
    if len(present) == 0:
        raise InputError("The texts hold only stop words and single letters, so there is nothing to learn from.")
    column_of = np.full(corpus.term_count, -1, np.int32)
    column_of[present] = np.arange(len(present), dtype=np.int32)
    # The same operations in the same order as TfidfTransformer.fit, so that the logarithms are the same floats.
    document_frequency = frequency[present].astype(np.float64)
    document_frequency += 1.0
    idf = np.full_like(document_frequency, len(train) + 1)
    idf /= document_frequency
    np.log(idf, out=idf)
    idf += 1.0
    source = (corpus.starts, corpus.terms, corpus.counts)
    starts, columns, values = _weigh(*source, train, first_met, column_of, idf)
    fitted = Matrix(starts, columns, values, len(present))
    starts, columns, values = _weigh(*source, other, column_of, column_of, idf)
    return fitted, Matrix(starts, columns, values, len(present))


@njit(nogil=True, cache=True)
def _first_met(starts, terms, rows, term_count):  # type: ignore[no-untyped-def]
    """In how many rows each term stands, and the order in which a walk over the rows meets the terms (-1: never)."""
    frequency = np.zeros(term_count, np.int32)
    first_met = np.full(term_count, -1, np.int32)
    met = 0
    for row in rows:
        for entry in range(starts[row], starts[row + 1]):
            term = terms[entry]
            if frequency[term] == 0:
                first_met[term] = met
                met += 1
            frequency[term] += 1
    return frequency, first_met


@njit(nogil=True, cache=True)
def _weigh(starts, terms, counts, rows, rank, column_of, idf):  # type: ignore[no-untyped-def]
    """Rows with their entries sorted by the terms' rank, weighted by idf and divided by their length."""
    width = len(idf)
    new_starts = np.zeros(len(rows) + 1, np.int32)
    rank_starts = np.zeros(width + 1, np.int64)
    for index in range(len(rows)):
        size = 0
        for entry in range(starts[rows[index]], starts[rows[index] + 1]):
            place = rank[terms[entry]]
            if place >= 0:
                rank_starts[place + 1] += 1
                size += 1
        new_starts[index + 1] = new_starts[index] + size
    for place in range(width):
        rank_starts[place + 1] += rank_starts[place]
    # A counting sort: by rank first, then back into rows, so each row's entries arrive in the order of rank.
    total = new_starts[len(rows)]
    sorted_rows = np.empty(total, np.int32)
    sorted_entries = np.empty(total, np.int64)
    for index in range(len(rows)):
        for entry in range(starts[rows[index]], starts[rows[index] + 1]):
            place = rank[terms[entry]]
            if place >= 0:
                spot = rank_starts[place]
                rank_starts[place] = spot + 1
                sorted_rows[spot] = index
                sorted_entries[spot] = entry
    columns = np.empty(total, np.int32)
    values = np.empty(total, np.float64)
    fill = new_starts[:-1].copy()
    for spot in range(total):
        index = sorted_rows[spot]
        target = fill[index]
        fill[index] = target + 1
        column = column_of[terms[sorted_entries[spot]]]
        columns[target] = column
        values[target] = counts[sorted_entries[spot]] * idf[column]
    for index in range(len(rows)):
        squares = 0.0
        for target in range(new_starts[index], new_starts[index + 1]):
            squares += values[target] * values[target]
        if squares > 0.0:
            length = np.sqrt(squares)
            for target in range(new_starts[index], new_starts[index + 1]):
                values[target] /= length
    return new_starts, columns, values
