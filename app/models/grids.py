"""The peer's parameter grids, and which other values a request may name."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Point = dict[str, object]
"""One point of a grid: parameter name to value."""

Grid = dict[str, list[object]]
"""Parameter name to the values to try."""

STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
MAX_POINTS = 1000
"""A request may not ask for more: one point costs folds x repeats fits."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A parameter that takes one of a few words, truth values or nothing."""

    values: tuple[object, ...]

    def read(self, value: object) -> object:
        """The value as scikit-learn takes it; raises ``ValueError`` for any other (1 is not True)."""
        for allowed in self.values:
            if type(value) is type(allowed) and value == allowed:
                return allowed
        raise ValueError("one of " + ", ".join("null" if value is None else str(value) for value in self.values))


@dataclass(frozen=True, slots=True)
class Number:
    """A parameter that takes a number from ``low`` to ``high``, or one of the words of ``words``."""

    low: float
    high: float
    whole: bool = False
    words: tuple[object, ...] = ()

    def read(self, value: object) -> object:
        """The value as scikit-learn takes it; raises ``ValueError`` for any other."""
        if any(type(value) is type(word) and value == word for word in self.words):
            return value
        number = isinstance(value, int) or (isinstance(value, float) and not self.whole)
        if number and not isinstance(value, bool) and self.low <= value <= self.high:  # type: ignore[operator]
            return value
        words = "".join(f" or {'null' if word is None else word}" for word in self.words)
        raise ValueError(f"a {'whole ' if self.whole else ''}number from {self.low:g} to {self.high:g}{words}")


@dataclass(frozen=True, slots=True)
class Layers:
    """The sizes of a perceptron's hidden layers."""

    most_layers: int = 4
    most_neurons: int = 1000

    def read(self, value: object) -> object:
        """The sizes as a tuple; raises ``ValueError`` for anything else."""
        if (
            isinstance(value, list | tuple)
            and 1 <= len(value) <= self.most_layers
            and all(type(size) is int and 1 <= size <= self.most_neurons for size in value)
        ):
            return tuple(value)
        raise ValueError(f"a list of 1 to {self.most_layers} whole numbers from 1 to {self.most_neurons}")


BOTH = (True, False)
CRITERION = Choice(("gini", "entropy", "log_loss"))
DEPTH = Number(1, 10_000, whole=True, words=(None,))
PARAMETERS: dict[str, dict[str, Choice | Number | Layers]] = {
    "pac": {
        "C": Number(1e-10, 1e10),
        "fit_intercept": Choice(BOTH),
        "loss": Choice(("hinge", "squared_hinge")),
    },
    "log": {"C": Number(1e-10, 1e10), "penalty": Choice(("l1", "l2", "elasticnet"))},
    "mnb": {"alpha": Number(1e-10, 1e10), "fit_prior": Choice(BOTH)},
    "mlpc": {
        "hidden_layer_sizes": Layers(),
        "activation": Choice(("identity", "logistic", "tanh", "relu")),
        "learning_rate_init": Number(1e-10, 1e10),
    },
    "svc": {
        "kernel": Choice(("linear", "poly", "rbf", "sigmoid")),
        "gamma": Number(1e-10, 1e10, words=("scale", "auto")),
        "C": Number(1e-10, 1e10),
    },
    "dt": {
        "max_features": Choice(("sqrt", "log2", None)),
        "max_depth": DEPTH,
        "criterion": CRITERION,
    },
    "kn": {
        "weights": Choice(("uniform", "distance")),
        "n_neighbors": Number(1, 100_000, whole=True),
        "algorithm": Choice(("auto", "ball_tree", "kd_tree", "brute")),
    },
    "rf": {"n_estimators": Number(1, 1000, whole=True), "max_depth": DEPTH, "criterion": CRITERION},
}
"""What a request's grid may name, model by model: never anything that could fill the node's memory or disk."""


def hidden_sizes(texts: int, classes: int) -> list[object]:
    """The peer's two shapes of hidden layers for so many training texts.

    The first has n neurons in both layers, n the larger root of n^2 + (3 + classes) n + 4 - texts / 10 = 0 and at
    least 3: about ten texts a weight. The second has two thirds of that.
    """
    b = 3 + classes
    root = math.sqrt(max(b * b - 4 * (4 - texts / 10), 0.0))
    size = max(3, int((root - b) / 2))
    return [(size, size), (int(2 * size / 3), int(2 * size / 3))]


def peer_grid(model: str, texts: int, classes: int) -> Grid:
    """The grid the study's function searches for a model; only mlpc's depends on the numbers of texts and classes."""
    strengths: list[object] = list(STRENGTHS)
    grids: dict[str, Grid] = {
        "pac": {"loss": ["hinge", "squared_hinge"], "fit_intercept": [True, False], "C": strengths},
        "log": {"penalty": ["l1", "l2", "elasticnet"], "C": strengths},
        "mnb": {"fit_prior": [True, False], "alpha": strengths},
        "mlpc": {
            "hidden_layer_sizes": hidden_sizes(texts, classes),
            "activation": ["tanh", "relu"],
            "learning_rate_init": [0.001, 0.01, 1],
        },
        "svc": {"kernel": ["poly", "rbf"], "gamma": ["scale", "auto"], "C": [0.1, 1]},
        "dt": {
            "max_features": ["sqrt", "log2", None],
            "max_depth": [None, 5, 10],
            "criterion": ["gini", "entropy"],
        },
        "kn": {
            "weights": ["uniform", "distance"],
            "n_neighbors": [5, 10, 20],
            "algorithm": ["auto", "ball_tree", "kd_tree"],
        },
        "rf": {"n_estimators": [50, 100, 200], "max_depth": [None, 5, 10], "criterion": ["gini", "entropy"]},
    }
    return grids[model]


def read_parameters(model: str, parameters: Mapping[str, object]) -> Point:
    """One point as scikit-learn takes it; raises InputError for an unknown name or value."""
    read = read_grid(model, {name: [value] for name, value in parameters.items()})
    return {name: values[0] for name, values in read.items()}


def read_grid(model: str, grid: Mapping[str, Sequence[object]]) -> Grid:
    """A request's grid as scikit-learn takes it.

    Raises:
        InputError: a name the model has no parameter for, a value outside its bounds, or more than MAX_POINTS points.
    """
    allowed = PARAMETERS[model]
    read: Grid = {}
    for name, values in grid.items():
        if name not in allowed:
            raise InputError(
                f"The grid names {name!r}, which {model} is not searched over; it may name {', '.join(sorted(allowed))}."
            )
        for value in values:
            try:
                read.setdefault(name, []).append(allowed[name].read(value))
            except ValueError as error:
                raise InputError(f"The grid's {name} of {model} must be {error}, but one is {value!r:.60}.") from None
    points = math.prod(len(values) for values in read.values())
    if points > MAX_POINTS:
        raise InputError(f"The grid has {points} points; the most that one request may search is {MAX_POINTS}.")
    return read
