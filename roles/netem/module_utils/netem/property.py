"""What every property of a link is made of: values with ranges, and how it speaks to people, `tc`, emulator and gate.

A property is one class in one file. It declares its values with `value()`, which scenario files and `netem_links` share,
and overrides what concerns it: most properties say nothing about delays, and none but one needs a class of HTB's.
"""

from __future__ import annotations

import math
from dataclasses import MISSING, dataclass, field, fields
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .delay import Expectation
    from .estimates import Coarseness, Estimate
    from .link import Link


class PropertyError(ValueError):
    """A value that a property cannot have: what it is and what is expected."""


@dataclass(frozen=True)
class Range:
    """What a value may be, declared once for roles/netem and for scenario files.

    Attributes:
        kind: float, int, bool or str; or a dataclass whose fields have ranges themselves.
        about: what the value means, in one sentence.
        at_least: the smallest value.
        at_most: the largest.
        above: what it has to be larger than.
        below: what it has to be smaller than.
        choices: all that it may be, for a str.
        optional: whether None means that it was left out.
    """

    kind: type
    about: str
    at_least: float | None = None
    at_most: float | None = None
    above: float | None = None
    below: float | None = None
    choices: tuple[str, ...] = ()
    optional: bool = False

    def __str__(self) -> str:
        if self.kind is bool:
            return "true or false"
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        if self.kind not in (int, float):
            return f"a mapping of {', '.join(ranges(self.kind))}"
        words = "an integer" if self.kind is int else "a number"
        if self.at_least is not None:
            words += f" from {self.at_least}"
        elif self.above is not None:
            words += f" above {self.above}"
        if self.at_most is not None:
            words += f"{' and up' if self.above is not None else ''} to {self.at_most}"
        elif self.below is not None:
            words += f" to below {self.below}"
        return words

    def check(self, name: str, candidate: Any) -> None:
        """Refuse what is out of range.

        Raises:
            PropertyError: it is; with the name, the value and the range.
        """
        if not ((candidate is None and self.optional) or self._holds(candidate)):
            raise PropertyError(f"{name} is {candidate!r}: expected {self}")
        if candidate is not None and self.kind not in (int, float, bool, str):
            for part, range_ in ranges(self.kind).items():
                range_.check(f"{name}.{part}", getattr(candidate, part))

    def _holds(self, candidate: Any) -> bool:
        if self.kind in (int, float):
            if (
                isinstance(candidate, bool)
                or not isinstance(candidate, (int, self.kind))
                or not math.isfinite(candidate)
            ):
                return False
            return not (
                (self.at_least is not None and candidate < self.at_least)
                or (self.at_most is not None and candidate > self.at_most)
                or (self.above is not None and candidate <= self.above)
                or (self.below is not None and candidate >= self.below)
            )
        return isinstance(candidate, self.kind) and (not self.choices or candidate in self.choices)


def value(kind: type, about: str, *, default: Any = MISSING, **limits: Any) -> Any:
    """Return a dataclass field with a range; one whose default is None may be left out, one without a default may not."""
    return field(default=default, metadata={"range": Range(kind=kind, about=about, optional=default is None, **limits)})


def percent(about: str, *, default: Any = MISSING, **limits: Any) -> Any:
    """Return the field of a share of 0 to 100 %."""
    return value(float, about, default=default, **({"at_least": 0, "at_most": 100} | limits))


def ranges(kind: type) -> dict[str, Range]:
    """Return the ranges of a dataclass' fields by name."""
    return {one.name: one.metadata["range"] for one in fields(kind)}


def declared(kind: type) -> dict[str, tuple[Range, Any]]:
    """Return the ranges and defaults of a dataclass' fields by name; the default is `...` where there is none."""
    return {one.name: (one.metadata["range"], ... if one.default is MISSING else one.default) for one in fields(kind)}


def required(kind: type) -> list[str]:
    """Return the names of a dataclass' fields that cannot be left out."""
    return [name for name, (_, default) in declared(kind).items() if default is ...]


def parsed(kind: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values with those that are mappings made into what their range asks for.

    Raises:
        PropertyError: one has an unknown key, or lacks one.
    """
    made = dict(values)
    for name, range_ in ranges(kind).items():
        if isinstance(made.get(name), dict) and range_.kind not in (int, float, bool, str):
            made[name] = _nested(name, range_.kind, made[name])
    return made


def _nested(name: str, kind: type, values: Mapping[str, Any]) -> Any:
    known = ranges(kind)
    for key in values:
        if key not in known:
            raise PropertyError(f"{name} has no {key!r}: expected {', '.join(sorted(known))}")
    present = {key: one for key, one in values.items() if one is not None}
    for key in required(kind):
        if key not in present:
            raise PropertyError(f"{name}.{key} is missing")
    return kind(**present)


@dataclass(frozen=True)
class Delays:
    """The delays that probes had on a link, and those that they should have.

    Attributes:
        measured: estimates of them.
        expected: what the link should give on top of its path.
        coarse: how much wider the gate is on this machine.
        path_sigma_ms: the path's own jitter.
    """

    measured: Estimate
    expected: Expectation
    coarse: Coarseness
    path_sigma_ms: float


@dataclass(frozen=True)
class Observation:
    """What probes over a link showed: all that a property is judged by.

    Attributes:
        sent: how many probes were sent.
        lost: how many of them never arrived.
        reordered: how many arrived after a later one.
        duplicated: how many arrived twice, or None where that was not counted.
        damaged: the share that is lost because frames are damaged.
        loss: the share that is lost in all if the link is right.
        confidence: of the intervals that what chance moves is held against; the more links are judged, the higher.
        delays: their delays, or None where too few arrived to tell.
    """

    sent: int
    lost: int
    reordered: int
    duplicated: int | None
    damaged: float
    loss: float
    confidence: float
    delays: Delays | None = None


@dataclass(frozen=True)
class Property:
    """One property of a link; its values are in range, and fit each other."""

    # What `tc qdisc change` has to be told to end the property, where netem would keep it (sch_netem.c, netem_change).
    tc_none: ClassVar[tuple[str, str] | None] = None

    def __post_init__(self) -> None:
        for name, range_ in ranges(type(self)).items():
            range_.check(name, getattr(self, name))
        self.check()

    def check(self) -> None:
        """Refuse values that do not fit each other; raises PropertyError."""

    def words(self) -> str:
        """Return the property as a person would say it, or nothing where the link does not have it."""
        return ""

    def tc(self, link: Link) -> list[str]:
        """Return its arguments of the link's netem leaf."""
        return []

    def emulator(self, link: Link) -> dict[str, Any]:
        """Return its part of what `emulation.py` reads: shares of one, nanoseconds."""
        return {}

    def damaged(self, family: int | None) -> float:
        """Return the share of frames that it damages; of probes by IPv4 (4) or IPv6 (6) only so that they are lost."""
        return 0.0

    def problems(self, seen: Observation) -> list[str]:
        """Return in which respects what was observed is not what the property should give."""
        return []

    def unresolved(self, seen: Observation) -> list[str]:
        """Return what cannot be resolved on this machine, because the gate is too wide here."""
        return []
