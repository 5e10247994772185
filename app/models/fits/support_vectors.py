"""Support vector machines for a whole grid: libsvm on kernel matrices that are computed once.

libsvm spends nearly all its time on the products of sparse rows, again for each point of the grid. Here they are
computed once a fold, summed over the terms in the order of libsvm's own loops, so that each kernel value is the same
float; libsvm then solves with ``kernel="precomputed"``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit
from sklearn.svm import SVC

from app.errors import Cancelled

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import scipy.sparse as sp
    from numpy.typing import NDArray

    from app.models.parameters import Point
    from app.text.matrix import Matrix

MOST_KERNEL_BYTES = 1 << 28
"""Above this size of one pair of kernel matrices libsvm computes its rows itself, in the memory of its own cache."""

ROWS_BETWEEN_LOOKS = 64


def predict_all(
    points: Sequence[Point],
    train: Matrix,
    target: NDArray[np.int64],
    other: Matrix,
    *,
    classes: int,  # noqa: ARG001 - the target says it
    seed: int,
    cancelled: Callable[[], bool],
) -> NDArray[np.int64]:
    """Class numbers of shape (points, other rows); raises Cancelled."""
    fitted, rows = train.scipy().copy(), other.scipy()
    scale = _scale(fitted)  # before the rows are sorted, as SVC.fit does, or the sums would differ
    fitted.sort_indices()
    products = _Products(fitted, rows, cancelled)
    fits_in_memory = 8 * len(target) * (len(target) + rows.shape[0]) <= MOST_KERNEL_BYTES
    kernels: dict[tuple[Any, Any], tuple[NDArray[np.float64], NDArray[np.float64]]] = {}
    predicted = np.empty((len(points), rows.shape[0]), np.int64)
    for index, point in sorted(enumerate(points), key=lambda each: str(_key(each[1]))):
        if cancelled():
            raise Cancelled
        strength = point.get("C", 1.0)
        kernel, gamma = key = _key(point)
        if not fits_in_memory:
            machine = SVC(C=strength, kernel=kernel, gamma=gamma, random_state=seed)
            predicted[index] = machine.fit(fitted.copy(), target).predict(rows)
            continue
        if key not in kernels:
            factor = {"scale": scale, "auto": 1.0 / train.width}.get(gamma, gamma)
            kernels = {key: products.kernel(kernel, factor)}  # only the latest: the points are sorted by it
        among, between = kernels[key]
        machine = SVC(C=strength, kernel="precomputed", random_state=seed)
        predicted[index] = machine.fit(among, target).predict(between)
    return predicted


def _key(point: Point) -> tuple[Any, Any]:
    return point.get("kernel", "rbf"), point.get("gamma", "scale")


def _scale(rows: sp.csr_matrix) -> float:
    """SVC's ``gamma="scale"``, in its own words."""
    variance = (rows.multiply(rows)).mean() - (rows.mean()) ** 2
    return float(1.0 / (rows.shape[1] * variance)) if variance != 0 else 1.0


@dataclass(frozen=True)
class _Products:
    """Products of training rows with each other and with other rows, each computed when first needed."""

    fitted: sp.csr_matrix
    rows: sp.csr_matrix
    cancelled: Callable[[], bool]

    def kernel(self, name: str, gamma: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The kernel among the training rows, and between other and training rows.

        libsvm predicts with another formula of the squared distance than it trains with; both are followed.
        """
        if name == "linear":
            return self.among, self.between
        if name == "poly":
            return _cube(gamma * self.among + 0.0), _cube(gamma * self.between + 0.0)
        if name == "sigmoid":
            return _tanh(gamma * self.among + 0.0), _tanh(gamma * self.between + 0.0)
        squares = self.among.diagonal()
        distances = squares[:, np.newaxis] + squares[np.newaxis, :] - 2 * self.among
        return _exp(-gamma * distances), _exp(-gamma * self.distances_between)

    @cached_property
    def among(self) -> NDArray[np.float64]:
        """Inner products among the training rows."""
        return self._fill(_inner_products, self.fitted)

    @cached_property
    def between(self) -> NDArray[np.float64]:
        """Inner products of other rows with training rows."""
        return self._fill(_inner_products, self.rows)

    @cached_property
    def distances_between(self) -> NDArray[np.float64]:
        """Squared distances of other rows to training rows."""
        return self._fill(_square_distances, self.rows)

    def _fill(self, compute: Callable[..., None], rows: sp.csr_matrix) -> NDArray[np.float64]:
        left = (rows.indptr, rows.indices, rows.data)
        right = (self.fitted.indptr, self.fitted.indices, self.fitted.data)
        result = np.empty((rows.shape[0], self.fitted.shape[0]))
        for first in range(0, len(result), ROWS_BETWEEN_LOOKS):
            if self.cancelled():
                raise Cancelled
            compute(*left, *right, rows.shape[1], first, min(first + ROWS_BETWEEN_LOOKS, len(result)), result)
        return result


@njit(nogil=True, cache=True)
def _inner_products(starts, columns, values, starts2, columns2, values2, width, first, last, result):  # type: ignore[no-untyped-def]
    """Sums over the terms of the second row in order; a term the first row lacks adds a zero, which changes nothing."""
    dense = np.zeros(width)
    for i in range(first, last):
        for entry in range(starts[i], starts[i + 1]):
            dense[columns[entry]] = values[entry]
        for j in range(len(starts2) - 1):
            total = 0.0
            for entry in range(np.uint64(starts2[j]), np.uint64(starts2[j + 1])):
                total += dense[np.uint64(columns2[entry])] * values2[entry]
            result[i, j] = total
        for entry in range(starts[i], starts[i + 1]):
            dense[columns[entry]] = 0.0


@njit(nogil=True, cache=True)
def _square_distances(starts, columns, values, starts2, columns2, values2, width, first, last, result):  # type: ignore[no-untyped-def] # noqa: ARG001
    """Squared differences, summed over the terms of both rows in order: libsvm's loop."""
    for i in range(first, last):
        for j in range(len(starts2) - 1):
            total = 0.0
            a, b = np.uint64(starts[i]), np.uint64(starts2[j])
            a_end, b_end = np.uint64(starts[i + 1]), np.uint64(starts2[j + 1])
            while a < a_end and b < b_end:
                if columns[a] == columns2[b]:
                    difference = values[a] - values2[b]
                    a += np.uint64(1)
                    b += np.uint64(1)
                elif columns[a] > columns2[b]:
                    difference = values2[b]
                    b += np.uint64(1)
                else:
                    difference = values[a]
                    a += np.uint64(1)
                total += difference * difference
            while a < a_end:
                total += values[a] * values[a]
                a += np.uint64(1)
            while b < b_end:
                total += values2[b] * values2[b]
                b += np.uint64(1)
            result[i, j] = total


@njit(nogil=True, cache=True)
def _cube(matrix):  # type: ignore[no-untyped-def]
    """The power by squaring of libsvm for degree 3: x times x squared."""
    result = np.empty_like(matrix)
    for i in range(matrix.shape[0]):
        for j in range(matrix.shape[1]):
            result[i, j] = matrix[i, j] * (matrix[i, j] * matrix[i, j])
    return result


@njit(nogil=True, cache=True)
def _exp(matrix):  # type: ignore[no-untyped-def]
    """The C library's exp, as libsvm calls it: numpy's own may differ in the last bit."""
    result = np.empty_like(matrix)
    for i in range(matrix.shape[0]):
        for j in range(matrix.shape[1]):
            result[i, j] = math.exp(matrix[i, j])
    return result


@njit(nogil=True, cache=True)
def _tanh(matrix):  # type: ignore[no-untyped-def]
    """The C library's tanh, as libsvm calls it."""
    result = np.empty_like(matrix)
    for i in range(matrix.shape[0]):
        for j in range(matrix.shape[1]):
            result[i, j] = math.tanh(matrix[i, j])
    return result
