"""What a run swept: its axes with their values, and where on them each scenario stands. Kept in its manifest."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# More scenarios than a report can show.
MOST_POINTS = 256
MOST_AXES = 8

Text = Annotated[str, Field(max_length=200)]
Value = bool | int | float | Text
Values = dict[Text, Value]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Axis(_Frozen):
    """Values that take turns: those of one key of the scenarios, or of the first of several that move together."""

    name: Text
    values: tuple[Value, ...] = Field(min_length=1, max_length=MOST_POINTS)

    @property
    def has_scale(self) -> bool:
        """Whether its values are numbers, so that there is something between them."""
        return all(type(value) in (int, float) for value in self.values)

    @property
    def ordered(self) -> tuple[Value, ...]:
        """The values: numbers in ascending order, others as they stand in the file."""
        return tuple(sorted(self.values, key=float)) if self.has_scale else self.values


class Point(_Frozen):
    """One scenario of a run: which scenario it was made of, and its value on each axis that this one has."""

    of: Text
    values: Values


class Sweep(_Frozen):
    """The axes of a run, and its points by the names of its scenarios."""

    axes: tuple[Axis, ...] = Field(min_length=1, max_length=MOST_AXES)
    points: dict[Text, Point] = Field(min_length=1, max_length=MOST_POINTS)

    @model_validator(mode="after")
    def _points_are_on_the_axes(self) -> Sweep:
        values = {axis.name: axis.values for axis in self.axes}
        for name, point in self.points.items():
            if not all(value in values.get(axis, ()) for axis, value in point.values.items()):
                raise ValueError(f"point {name} is not on the axes")
        return self

    @property
    def scenarios(self) -> tuple[str, ...]:
        """The scenarios of which the points were made."""
        return tuple(dict.fromkeys(point.of for point in self.points.values()))

    def points_of(self, scenario: str) -> tuple[str, ...]:
        """Return the names of a scenario's points."""
        return tuple(name for name, point in self.points.items() if point.of == scenario)

    def axes_of(self, *scenarios: str) -> tuple[Axis, ...]:
        """Return the axes that at least one of these scenarios has."""
        own = {axis for point in self.points.values() if point.of in scenarios for axis in point.values}
        return tuple(axis for axis in self.axes if axis.name in own)

    def at(self, scenario: str, values: Mapping[str, Value]) -> str | None:
        """Return the point of a scenario at these values, of which those on axes that it does not have do not count."""
        for name, point in self.points.items():
            if point.of == scenario and all(values.get(axis) == value for axis, value in point.values.items()):
                return name
        return None


def combinations(axes: tuple[Axis, ...]) -> Iterator[Values]:
    """Yield each combination of the values of axes; one without values where there are none."""
    for values in product(*(axis.values for axis in axes)):
        yield dict(zip((axis.name for axis in axes), values, strict=True))


def told(values: Mapping[str, Value]) -> str:
    """Return values in words: ``delay_ms 5, share 0.1``."""
    return ", ".join(f"{axis} {written(value)}" for axis, value in values.items())


def written(value: Value) -> str:
    """Return a value as it stands in a scenario file."""
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)
