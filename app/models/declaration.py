"""What a model says of itself, so that everything else about it follows.

A declaration is read wherever a model's name is checked, so it is light: ``estimator`` and ``load_fit`` import
scikit-learn and compiled kernels only when they are called.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from app.errors import InputError
from app.models.parameters import in_json

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from app.models.parameters import Grid, Parameter, Point
    from app.text.matrix import Matrix

MAX_POINTS = 1000
"""A request may not ask for more: one point costs folds x repeats fits."""

UNFITTED = -1
"""The "class" of every row for a point that scikit-learn refuses to fit, such as more neighbours than texts."""

Renamed = tuple[str, Mapping[object, object]]
"""scikit-learn's name of a parameter, and its words for the parameter's values where these differ."""


class PredictAll(Protocol):
    """How a model fits every point of its grid on training rows and predicts other rows."""

    def __call__(
        self,
        points: Sequence[Point],
        train: Matrix,
        target: NDArray[np.int64],
        other: Matrix,
        *,
        classes: int,
        seed: int,
        cancelled: Callable[[], bool],
    ) -> NDArray[np.int64]:
        """Class numbers of shape (points, other rows), UNFITTED for a point that scikit-learn refuses.

        Raises:
            Cancelled: ``cancelled`` returned True; it is asked several times a second.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model: what a request may say of it, and how it is fitted."""

    name: str
    """As requests name it."""

    parameters: Mapping[str, Parameter]
    """What a request's grid may name, and the values it takes: never any that could fill a node's memory or disk."""

    peer_grid: Callable[[int, int], Grid]
    """The grid that the study's function searches, for so many training texts and classes."""

    estimator: Callable[[int], Any]
    """An unfitted scikit-learn classifier with the study's fixed settings, and a seed if it draws numbers."""

    load_fit: Callable[[], PredictAll] | None = None
    """Imports the function that shares work among a grid's points; without one each point is fitted by itself."""

    compiled: bool = False
    """Whether the fit has compiled kernels, which are loaded or compiled before the first request."""

    endless: bool = False
    """Whether a fit may take for ever and cannot be interrupted: it is searched in a process that can be ended."""

    renamed: Mapping[str, Renamed] = field(default_factory=dict)
    """Parameters that scikit-learn calls by another name than the study does."""

    def predict_all(
        self,
        points: Sequence[Point],
        train: Matrix,
        target: NDArray[np.int64],
        other: Matrix,
        *,
        classes: int,
        seed: int,
        cancelled: Callable[[], bool],
    ) -> NDArray[np.int64]:
        """Fit every point on the training rows and predict the other rows, as ``PredictAll`` says.

        Equal to ``estimator`` fitted point by point (tests/app/test_models.py).
        """
        if self.load_fit is None:
            from app.models.fits.one_by_one import one_by_one

            predict_all = one_by_one(self)
        else:
            predict_all = self.load_fit()
        return predict_all(points, train, target, other, classes=classes, seed=seed, cancelled=cancelled)

    def read_point(self, parameters: Mapping[str, object]) -> Point:
        """One point as scikit-learn takes it; raises InputError for an unknown name or value."""
        grid = self.read_grid({name: [value] for name, value in parameters.items()})
        return {name: values[0] for name, values in grid.items()}

    def read_grid(self, grid: Mapping[str, Sequence[object]]) -> Grid:
        """A request's grid as scikit-learn takes it.

        Raises:
            InputError: a name the model has no parameter for, a value outside its bounds, or more than MAX_POINTS
                points.
        """
        read: Grid = {}
        for name, values in grid.items():
            if name not in self.parameters:
                allowed = ", ".join(sorted(self.parameters))
                raise InputError(
                    f"The grid names {name!r:.60}, which is not a parameter of {self.name}: expected one of {allowed}."
                )
            for value in values:
                try:
                    read.setdefault(name, []).append(self.parameters[name].read(value))
                except ValueError as error:
                    shown = repr(value) if isinstance(value, str) else in_json(value)
                    raise InputError(
                        f"The grid's {name} of {self.name} must be {error}, but one is {shown:.60}."
                    ) from None
        points = math.prod(len(values) for values in read.values())
        if points > MAX_POINTS:
            raise InputError(f"The grid has {points} points; the most that one request may search is {MAX_POINTS}.")
        return read

    def sklearn_grid(self, grid: Grid) -> Grid:
        """The same grid in scikit-learn's words; the order of ``ParameterGrid`` over both is the same."""
        translated: Grid = {}
        for name, values in grid.items():
            new_name, words = self.renamed.get(name, (name, {}))
            translated[new_name] = [words.get(value, value) for value in values] if words else list(values)
        return translated

    def sklearn_point(self, point: Point) -> Point:
        """One point in scikit-learn's words."""
        grid = self.sklearn_grid({name: [value] for name, value in point.items()})
        return {name: values[0] for name, values in grid.items()}
