"""What a parameter of a model may be: one of a few values, a number within bounds, or sizes of layers."""

from __future__ import annotations

import json
from dataclasses import dataclass

Point = dict[str, object]
"""One point of a grid: parameter name to value."""

Grid = dict[str, list[object]]
"""Parameter name to the values to try."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A parameter that takes one of a few words, truth values or nothing."""

    values: tuple[object, ...]

    def read(self, value: object) -> object:
        """The value as scikit-learn takes it; raises ``ValueError`` for any other (1 is not True)."""
        for allowed in self.values:
            if type(value) is type(allowed) and value == allowed:
                return allowed
        raise ValueError("one of " + ", ".join(map(in_json, self.values)))


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


Parameter = Choice | Number | Layers


def in_json(value: object) -> str:
    """A value as a request has it, words without their quotes."""
    return value if isinstance(value, str) else json.dumps(value)


BOTH = Choice((True, False))
POSITIVE = Number(1e-10, 1e10)
DEPTH = Number(1, 10_000, whole=True, words=(None,))
IMPURITY = Choice(("gini", "entropy", "log_loss"))
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""What the study tries for the strength of a regularisation."""
