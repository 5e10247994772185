"""Multi-layer perceptrons for a whole grid: networks of one shape learn side by side.

What ``MLPClassifier`` does (Adam, Kingma and Ba 2015; shuffled batches of 200; its stopping rule), with the same
operations on the same floats in the same order. With one seed, networks of one shape start from the same weights and
see the texts in the same order, so one pass over a batch serves all of them: a text's term touches one contiguous row
of the first layer, which holds all but a handful of the weights. Layers above are stacks of small dense matrices.

One sum is made in another order, that of the squared weights in the loss. The loss only decides when a network stops,
and scikit-learn's own sum depends there on the number of BLAS threads.
"""

from __future__ import annotations

from itertools import groupby, pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit
from scipy.special import expit, xlogy

from app.errors import Cancelled
from app.models.declaration import UNFITTED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from app.models.parameters import Point
    from app.text.matrix import Matrix

    Floats = NDArray[np.float64]

MAX_EPOCHS = 200
BATCH_ROWS = 200
PATIENCE_EPOCHS = 10
TOLERANCE = 1e-4
L2 = 1e-4
THRESHOLD = 0.5
BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8

MOST_FIRST_LAYER_BYTES = 1 << 26
"""Networks side by side may take so much for their first layer; its gradient and moments take three times that more."""

TILE_TERMS = 16
"""The first layer is updated so many terms at a time: long enough a loop to vectorise whatever the networks' size."""


def predict_all(
    points: Sequence[Point],
    train: Matrix,
    target: NDArray[np.int64],
    other: Matrix,
    *,
    classes: int,
    seed: int,
    cancelled: Callable[[], bool],
) -> NDArray[np.int64]:
    """Class numbers of shape (points, other rows), UNFITTED where the weights overflow; raises Cancelled."""
    truth = target[:, np.newaxis] == (np.array([1]) if classes == 2 else np.arange(classes))
    predicted = np.empty((len(points), len(other.starts) - 1), np.int64)
    for members in _side_by_side(points, train.width):
        networks = _Networks([points[index] for index in members], train, truth, seed)
        while len(networks.places):
            if cancelled():
                raise Cancelled
            stopped = networks.learn_an_epoch()
            if stopped.any():
                outputs = networks.outputs(other)[stopped]
                classed = outputs[:, :, 0] > THRESHOLD if classes == 2 else outputs.argmax(axis=2)
                sound = networks.finite()[stopped, np.newaxis]
                predicted[[members[place] for place in networks.places[stopped]]] = np.where(sound, classed, UNFITTED)
                networks.keep(~stopped)
    return predicted


def _hidden(point: Point) -> tuple[int, ...]:
    sizes: Any = point.get("hidden_layer_sizes", (100,))
    return tuple(sizes)


def _activation(point: Point) -> str:
    return str(point.get("activation", "relu"))


def _side_by_side(points: Sequence[Point], width: int) -> Iterator[list[int]]:
    """The places of points whose networks have one shape, as many as the memory is meant for, by activation."""
    order = sorted(range(len(points)), key=lambda index: (_hidden(points[index]), _activation(points[index])))
    for hidden, group in groupby(order, key=lambda index: _hidden(points[index])):
        members = list(group)
        most = max(1, MOST_FIRST_LAYER_BYTES // (8 * width * hidden[0]))
        for start in range(0, len(members), most):
            yield members[start : start + most]


class _Networks:
    """Networks of one shape, and the state of their learning.

    ``first`` has the shape (terms, networks x units). All other weights and intercepts of a network lie in one row of
    ``rest``; ``weights[layer]`` and ``intercepts[layer]`` are views of it, of shapes (networks, inputs, units) and
    (networks, 1, units), where layer 0 has no weights there.
    """

    def __init__(self, points: Sequence[Point], train: Matrix, truth: NDArray[np.bool_], seed: int) -> None:
        self.places = np.arange(len(points))
        self._train = train
        self._truth = truth
        self._shape = (train.width, *_hidden(points[0]), truth.shape[1])
        self._activations = [_activation(point) for point in points]
        self._rates = np.array([float(point.get("learning_rate_init", 0.001)) for point in points])  # type: ignore[arg-type]
        self._order = np.arange(len(truth))
        drawn = {}
        for activation in self._activations:
            random = np.random.RandomState(seed)
            drawn[activation] = _initial(random, self._shape, activation)
            self._random = random  # after these draws the same for each
        self._first = np.concatenate([drawn[activation][0] for activation in self._activations], axis=1)
        self._rest = np.stack([drawn[activation][1] for activation in self._activations])
        self._first_moments = np.zeros((2, *self._first.shape))
        self._rest_moments = np.zeros((2, *self._rest.shape))
        self._squares = np.square(self._first).sum(axis=0)
        self._steps = 0
        self._epochs = 0
        self._best = np.full(len(points), np.inf)
        self._stale = np.zeros(len(points), np.int64)
        self._cut()

    def learn_an_epoch(self) -> NDArray[np.bool_]:
        """See all texts once; says which networks stop here."""
        permutation = np.arange(len(self._order))
        self._random.shuffle(permutation)
        self._order = self._order[permutation]
        loss = np.zeros(len(self.places))
        for start in range(0, len(self._order), BATCH_ROWS):
            rows = self._order[start : start + BATCH_ROWS]
            loss += self._learn(rows) * len(rows)
        loss /= len(self._order)
        self._epochs += 1
        self._stale = np.where(loss > self._best - TOLERANCE, self._stale + 1, 0)
        self._best = np.minimum(self._best, loss)
        return (self._stale > PATIENCE_EPOCHS) | (self._epochs == MAX_EPOCHS)

    def outputs(self, matrix: Matrix) -> Floats:
        """The output layer for all rows, of shape (networks, rows, outputs)."""
        return self._forward(matrix, np.arange(len(matrix.starts) - 1))[-1]

    def finite(self) -> NDArray[np.bool_]:
        """Whether each network's weights are numbers still: scikit-learn refuses those that are not."""
        first = np.isfinite(self._first).all(axis=0).reshape(len(self.places), -1).all(axis=1)
        sound: NDArray[np.bool_] = first & np.isfinite(self._rest).all(axis=1)
        return sound

    def keep(self, going: NDArray[np.bool_]) -> None:
        """Go on with some of the networks only."""
        units = np.repeat(going, self._shape[1])
        self._first = np.ascontiguousarray(self._first[:, units])
        self._first_moments = np.ascontiguousarray(self._first_moments[:, :, units])
        self._squares = self._squares[units]
        self._rest = self._rest[going]
        self._rest_moments = self._rest_moments[:, going]
        self._rates, self._best, self._stale = self._rates[going], self._best[going], self._stale[going]
        self._activations = [name for name, goes in zip(self._activations, going, strict=True) if goes]
        self.places = self.places[going]
        self._cut()

    def _cut(self) -> None:
        """Set up the views and the buffer that depend on how many networks there are."""
        networks = len(self.places)
        self._gradient = np.empty_like(self._first)
        self._weights, self._intercepts = _views(self._rest, self._shape)
        self._runs: list[tuple[str, slice]] = []
        for name, run in groupby(range(networks), key=self._activations.__getitem__):
            members = list(run)
            self._runs.append((name, slice(members[0], members[-1] + 1)))

    def _forward(self, matrix: Matrix, rows: NDArray[np.int64]) -> list[Floats]:
        """The activations of each layer above the texts, of shape (networks, rows, units)."""
        sums = np.zeros((len(rows), self._first.shape[1]))
        _multiply(matrix.starts, matrix.columns, matrix.values, rows, self._first, sums)
        by_network = sums.reshape(len(rows), len(self.places), self._shape[1])
        layers = [np.ascontiguousarray(by_network.transpose(1, 0, 2))]
        last = len(self._shape) - 2
        for layer in range(last + 1):
            if layer:
                layers.append(np.matmul(layers[-1], self._weights[layer]))
            layers[-1] += self._intercepts[layer]
            if layer < last:
                for name, members in self._runs:
                    _activate(name, layers[-1][members])
        _to_probabilities(layers[-1])
        return layers

    def _learn(self, rows: NDArray[np.int64]) -> Floats:
        """One step of Adam on a batch; returns each network's loss before it."""
        size = len(rows)
        truth = self._truth[rows]
        layers = self._forward(self._train, rows)
        loss = _log_loss(truth, layers[-1])
        squares = self._squares.reshape(len(self.places), -1).sum(axis=1)
        squares += sum(np.square(weights).sum(axis=(1, 2)) for weights in self._weights[1:])
        loss += (0.5 * L2) * squares / size
        gradient = np.empty_like(self._rest)
        weight_gradients, intercept_gradients = _views(gradient, self._shape)
        delta = layers[-1] - truth
        for layer in range(len(layers) - 1, 0, -1):
            weights = self._weights[layer]
            by_layer = np.matmul(layers[layer - 1].transpose(0, 2, 1), delta)
            by_layer += L2 * weights
            by_layer /= size
            weight_gradients[layer][:] = by_layer
            intercept_gradients[layer][:] = delta.sum(axis=1, keepdims=True) / size
            delta = np.matmul(delta, weights.transpose(0, 2, 1))
            for name, members in self._runs:
                _differentiate(name, layers[layer - 1][members], delta[members])
        intercept_gradients[0][:] = delta.sum(axis=1, keepdims=True) / size
        self._adam(rows, delta, gradient)
        return loss

    def _adam(self, rows: NDArray[np.int64], delta: Floats, gradient: Floats) -> None:
        self._steps += 1
        rates = self._rates * np.sqrt(1 - BETA_2**self._steps) / (1 - BETA_1**self._steps)
        train = self._train
        side_by_side = np.ascontiguousarray(delta.transpose(1, 0, 2)).reshape(len(rows), -1)
        _gather(train.starts, train.columns, train.values, rows, side_by_side, self._gradient)
        tiled = np.tile(np.repeat(-rates, self._shape[1]), TILE_TERMS)
        moments = self._first_moments
        squares = _update(self._gradient, self._first, moments[0], moments[1], tiled, float(len(rows)))
        self._squares = squares.reshape(TILE_TERMS, -1).sum(axis=0)
        mean, variance = self._rest_moments
        mean[:] = BETA_1 * mean + (1 - BETA_1) * gradient
        variance[:] = BETA_2 * variance + (1 - BETA_2) * gradient**2
        self._rest += -rates[:, np.newaxis] * mean / (np.sqrt(variance) + EPSILON)


def _initial(random: np.random.RandomState, shape: tuple[int, ...], activation: str) -> tuple[Floats, Floats]:
    """Glorot's draws: the first layer's weights, and all the rest in a row."""
    parts = []
    for inputs, units in pairwise(shape):
        bound = np.sqrt((2.0 if activation == "logistic" else 6.0) / (inputs + units))
        parts += [random.uniform(-bound, bound, (inputs, units)), random.uniform(-bound, bound, units)]
    return parts[0], np.concatenate([part.ravel() for part in parts[1:]])


def _views(rest: Floats, shape: tuple[int, ...]) -> tuple[list[Floats], list[Floats]]:
    """Weights and intercepts of each layer as views of the rows that hold them."""
    weights, intercepts = [rest[:, :0]], [rest[:, np.newaxis, : shape[1]]]
    place = shape[1]
    for inputs, units in pairwise(shape[1:]):
        weights.append(rest[:, place : place + inputs * units].reshape(len(rest), inputs, units))
        place += inputs * units
        intercepts.append(rest[:, np.newaxis, place : place + units])
        place += units
    return weights, intercepts


def _activate(name: str, sums: Floats) -> None:
    match name:
        case "relu":
            np.maximum(sums, 0, out=sums)
        case "tanh":
            np.tanh(sums, out=sums)
        case "logistic":
            expit(sums, out=sums)


def _differentiate(name: str, activations: Floats, delta: Floats) -> None:
    match name:
        case "relu":
            delta[activations == 0] = 0
        case "tanh":
            delta *= 1 - activations**2
        case "logistic":
            delta *= activations
            delta *= 1 - activations


def _to_probabilities(sums: Floats) -> None:
    if sums.shape[2] == 1:
        expit(sums, out=sums)
        return
    np.exp(sums - sums.max(axis=2, keepdims=True), out=sums)
    sums /= sums.sum(axis=2, keepdims=True)


def _log_loss(truth: NDArray[np.bool_], probabilities: Floats) -> Floats:
    least = np.finfo(np.float64).eps
    clipped = np.clip(probabilities, least, 1 - least)
    terms = xlogy(truth, clipped)
    if truth.shape[1] == 1:
        terms += xlogy(1 - truth, 1 - clipped)
    losses: Floats = -np.average(terms, axis=1).sum(axis=1)
    return losses


@njit(nogil=True, cache=True)
def _multiply(starts, columns, values, rows, weights, sums):  # type: ignore[no-untyped-def]
    """Add the rows' products with the weights to sums."""
    units = np.uint64(weights.shape[1])
    flat = weights.ravel()
    for index in range(len(rows)):
        total = sums[index]
        for entry in range(starts[rows[index]], starts[rows[index] + 1]):
            value = values[entry]
            place = np.uint64(columns[entry]) * units
            for unit in range(units):
                total[unit] += value * flat[place + unit]


@njit(nogil=True, cache=True)
def _gather(starts, columns, values, rows, delta, gradient):  # type: ignore[no-untyped-def]
    """The transposed rows' products with delta."""
    units = np.uint64(delta.shape[1])
    flat = gradient.ravel()
    flat[:] = 0.0
    for index in range(len(rows)):
        slopes = delta[index]
        for entry in range(starts[rows[index]], starts[rows[index] + 1]):
            value = values[entry]
            place = np.uint64(columns[entry]) * units
            for unit in range(units):
                flat[place + unit] += value * slopes[unit]


# As numpy divides: numba's own way looks for a zero before each division, and then divides one number at a time.
@njit(nogil=True, cache=True, error_model="numpy")
def _update(gradient, weights, means, variances, rates, size):  # type: ignore[no-untyped-def]
    """One step of Adam on the first layer; returns the sums of the new weights' squares at each place of the tile."""
    gradient, weights, means, variances = gradient.ravel(), weights.ravel(), means.ravel(), variances.ravel()
    squares = np.zeros(len(rates))
    for start in range(0, len(weights), len(rates)):
        tile = slice(start, start + len(rates))
        slopes, weight, mean, variance = gradient[tile], weights[tile], means[tile], variances[tile]
        for place in range(len(weight)):
            slope = (slopes[place] + L2 * weight[place]) / size
            mean[place] = BETA_1 * mean[place] + (1 - BETA_1) * slope
            variance[place] = BETA_2 * variance[place] + (1 - BETA_2) * (slope * slope)
            weight[place] += rates[place] * mean[place] / (np.sqrt(variance[place]) + EPSILON)
        for place in range(len(weight)):
            squares[place] += weight[place] * weight[place]
    return squares
