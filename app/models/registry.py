"""All models: what is not named here does not exist for requests, tests and benchmarks."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from app.models import (
    decision_tree,
    logistic,
    naive_bayes,
    neighbours,
    passive_aggressive,
    perceptron,
    random_forest,
    support_vectors,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.models.declaration import Model

MODELS: Mapping[str, Model] = MappingProxyType(
    {
        module.MODEL.name: module.MODEL
        for module in (
            passive_aggressive,
            logistic,
            naive_bayes,
            perceptron,
            support_vectors,
            decision_tree,
            neighbours,
            random_forest,
        )
    }
)
"""Each model by its name."""

NAMES = tuple(MODELS)

if TYPE_CHECKING:
    Name = str
else:
    Name = Literal[NAMES]
    """A model's name, as a request's decoder checks it and its description lists it."""
