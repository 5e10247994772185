"""How a reply is read: which statuses are a success, and where it says how good it is."""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, Literal

import msgspec

from collect.records import MEASURE, MOST_MEASURES, UNIT, Quality
from experiments.workloads.workload import ReplyError, SettingsError

# RFC 9535's singular queries: a path that leads to one value at most.
PATH = re.compile(r"\$(\.[A-Za-z_][A-Za-z0-9_-]*|\['[^'\\]+'\]|\[-?\d{1,9}\])+")
STEP = re.compile(r"\.([A-Za-z_][A-Za-z0-9_-]*)|\['([^'\\]+)'\]|\[(-?\d+)\]")
# The measure of the workload training.
TEST_ACCURACY = "test accuracy"

Status = Annotated[int, msgspec.Meta(ge=200, le=299)]


class Measure(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a value stands in a reply that is JSON, its unit, and which of two values is better."""

    path: Annotated[str, msgspec.Meta(max_length=256)]
    better: Literal["higher", "lower"]
    unit: str = ""


class Reading(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The statuses of a success, and the measures that replies are judged by, by their names."""

    status: Annotated[tuple[Status, ...], msgspec.Meta(min_length=1, max_length=16)] = (200,)
    measures: Annotated[dict[str, Measure], msgspec.Meta(max_length=MOST_MEASURES)] = {}

    def check(self) -> None:
        """Refuse names that cannot be shown or that another measure has, and paths that are none.

        Raises:
            SettingsError: the first of them.
        """
        for name, measure in self.measures.items():
            if not re.search(MEASURE, name):
                raise SettingsError(
                    f"workload.reply.measures: invalid name {name!r:.60}: expected up to 40 letters, digits, blanks "
                    "and signs such as (, %, -"
                )
            if not re.search(UNIT, measure.unit):
                raise SettingsError(
                    f"workload.reply.measures.{name}.unit: invalid unit {measure.unit!r:.60}: expected up to 32 "
                    "letters, digits, blanks and signs such as %, /"
                )
            if not PATH.fullmatch(measure.path):
                raise SettingsError(
                    f"workload.reply.measures.{name}.path: invalid path {measure.path!r:.60}: expected a JSONPath to "
                    "one value, such as $.score or $['top 5'][0]"
                )
        if TEST_ACCURACY in self.measures:
            raise SettingsError(
                f"workload.reply.measures.{TEST_ACCURACY}: the accuracy of the workload training's final model has "
                "this name; take another one"
            )

    def values(self, body: bytes) -> dict[str, float]:
        """Return a reply's values by their measures.

        Raises:
            ReplyError: it is not JSON, or a value is missing or not a finite number.
        """
        if not self.measures:
            return {}
        try:
            reply = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ReplyError(f"unexpected reply: expected JSON with {', '.join(self.measures)}") from error
        return {name: _number(reply, measure.path, name) for name, measure in self.measures.items()}

    def qualities(self, values: dict[str, float]) -> tuple[Quality, ...]:
        """Return a repetition's qualities by the values of each measure."""
        return tuple(
            Quality(measure=name, unit=measure.unit, better=measure.better, value=values[name])
            for name, measure in self.measures.items()
        )


def _number(reply: Any, path: str, name: str) -> float:
    value = reply
    for key, quoted, index in STEP.findall(path):
        match value:
            case dict() if not index:
                value = value.get(key or quoted)
            case list() if index and -len(value) <= int(index) < len(value):
                value = value[int(index)]
            case _:
                value = None
        if value is None:
            raise ReplyError(f"unexpected reply: no {name} at {path}")
    if isinstance(value, bool) or not isinstance(value, int | float) or not _is_finite(value):
        raise ReplyError(f"unexpected reply: {name} at {path} is not a number: {str(value)[:40]!r}")
    return float(value)


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False
