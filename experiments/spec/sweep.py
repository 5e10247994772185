"""A sweep: lists of values for keys of scenarios. Their cross product becomes plain scenarios of one run.

An axis is a key with its values, or a name with several keys that move together. A key is a path with dots
(``links.0.delay_ms``); where a file lists several scenarios it may begin with the name of the one that it belongs to.
"""

from __future__ import annotations

import difflib
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from collect.sweep import MOST_AXES, MOST_POINTS, Axis, Point, Sweep, combinations, told, written
from experiments.errors import SpecError
from experiments.spec.fields import NAME, NAME_LETTERS
from experiments.spec.schema import OF_EXPERIMENT, is_open, keys_of_scenario

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from collect.sweep import Value

HOUR_S = 3600
# What a point is told apart by, and the data set that all points share.
NOT_SWEPT = ("name", "title")


@dataclass(frozen=True, slots=True)
class Key:
    """One key of one scenario with its value at each place of its axis."""

    scenario: str
    path: tuple[str | int, ...]
    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Swept:
    """A scenario of a sweep before it is checked: its keys, and where it stands."""

    of: str
    name: str
    content: dict[str, Any]
    point: Point


def expand(asked: Any, scenarios: Mapping[str, dict[str, Any]], *, times: int) -> tuple[Sweep, list[Swept]]:
    """Return the axes of a sweep and its scenarios, in the order of the file; those that no axis changes stay one.

    Args:
        asked: what a file has under ``sweep``.
        scenarios: the keys of its scenarios, by their names.
        times: how often each scenario will be measured, warm-ups included, as far as it is known yet.

    Raises:
        SpecError: an axis or a key of it is wrong, or there are too many points; the file has to be named yet.
    """
    if not isinstance(asked, dict) or not asked:
        raise SpecError("sweep: expected a mapping of keys to lists of values, such as {links.0.delay_ms: [1, 5, 15]}")
    if len(asked) > MOST_AXES:
        raise SpecError(f"sweep: {len(asked)} axes; {MOST_AXES} at most")
    keys = {str(name): _keys(str(name), axis, scenarios) for name, axis in asked.items()}
    _check_apart(keys)
    own = {
        scenario: [name for name, of_axis in keys.items() if any(key.scenario == scenario for key in of_axis)]
        for scenario in scenarios
    }
    count = sum(math.prod(len(keys[name][0].values) for name in of_scenario) for of_scenario in own.values())
    if count > MOST_POINTS:
        raise SpecError(
            f"sweep: {count:,} points, each measured {times} times, are {count * times:,} repetitions, "
            f"{_hours(count * times)} if each took a second; a run has {MOST_POINTS} points at most: name fewer "
            "values, or sweep in several files"
        )
    axes = {name: _axis(name, of_axis) for name, of_axis in keys.items()}
    letters = _letters(list(axes))
    swept = [
        one
        for scenario, content in scenarios.items()
        for one in _points(scenario, content, tuple(axes[name] for name in own[scenario]), letters, keys)
    ]
    return Sweep(axes=tuple(axes.values()), points={one.name: one.point for one in swept}), swept


def _hours(seconds: int) -> str:
    return f"{seconds / HOUR_S:,.1f} hours" if seconds >= HOUR_S else f"{seconds / 60:.1f} minutes"


def _keys(name: str, asked: Any, scenarios: Mapping[str, dict[str, Any]]) -> list[Key]:
    """Return the keys of an axis, each of each scenario that it belongs to."""
    of_axis = asked if isinstance(asked, dict) else {name: asked}
    if not of_axis:
        raise SpecError(f"sweep: {name}: expected keys with lists of values")
    first = next(iter(of_axis))
    keys: list[Key] = []
    for key, values in of_axis.items():
        where = f"sweep: {name}" + (f": {key}" if isinstance(asked, dict) else "")
        if not isinstance(values, list):
            raise SpecError(f"{where}: expected a list of values, such as [1, 5, 15]")
        if len(values) != len(of_axis[first]):
            raise SpecError(
                f"{where}: {len(values)} values, but {first} has {len(of_axis[first])}: keys of one axis move together"
            )
        if len(values) < 2:  # noqa: PLR2004
            alone = "no values" if not values else "one value, which is no sweep"
            raise SpecError(f"{where}: {alone}: name at least two, or set the key in the scenario")
        keys += [Key(scenario, path, tuple(values)) for scenario, path in _places(str(key), where, scenarios)]
    return keys


def _places(
    key: str, where: str, scenarios: Mapping[str, dict[str, Any]]
) -> Iterator[tuple[str, tuple[str | int, ...]]]:
    """Yield the scenarios that a key belongs to, each with its path there."""
    first, _, rest = key.partition(".")
    if first in scenarios and rest:
        yield first, _path(rest, where, scenarios[first])
        return
    for scenario, content in scenarios.items():
        yield scenario, _path(key, where, content)


def _path(key: str, where: str, content: dict[str, Any]) -> tuple[str | int, ...]:
    """Return the steps to a key, or refuse one that a scenario does not have, with the nearest."""
    path: list[str | int] = []
    at: Any = content
    for step in key.split("."):
        if isinstance(at, list):
            if not step.isdecimal() or int(step) >= len(at):
                raise SpecError(
                    f"{where}: {'.'.join(map(str, path))} has no entry {step}: expected a position "
                    f"{f'from 0 to {len(at) - 1}' if len(at) > 1 else '0'}{_nearest(key, content)}"
                )
            path.append(int(step))
            at = at[int(step)]
            continue
        if not path and (step in NOT_SWEPT or step in OF_EXPERIMENT):
            reason = "tells scenarios apart" if step in NOT_SWEPT else "belongs to the whole run"
            raise SpecError(f"{where}: {step} cannot be swept: it {reason}")
        if not is_open(path) and step not in keys_of_scenario(path):
            unset = " (it is not set in the scenario)" if path and at is None else ""
            raise SpecError(f"{where}: no such key: {key}{unset}{_nearest(key, content)}")
        path.append(step)
        at = at.get(step) if isinstance(at, dict) else None
    return tuple(path)


def _nearest(key: str, content: dict[str, Any]) -> str:
    """Return a question that names the key which is most like one that is not there; nothing where none is."""
    known = list(_known((), content))
    last = key.rpartition(".")[2]
    near = [one for one in known if one.rpartition(".")[2] == last] or difflib.get_close_matches(key, known, 1)
    near = near or [one for one in known if difflib.get_close_matches(last, [one.rpartition(".")[2]], 1)]
    return f"; did you mean {near[0]}?" if near else ""


def _known(place: tuple[str | int, ...], content: Any) -> Iterator[str]:
    """Yield the keys that a scenario can have, with dots, and the entries of the lists that it has."""
    if isinstance(content, list):
        for number, entry in enumerate(content):
            yield ".".join(map(str, (*place, number)))
            yield from _known((*place, number), entry)
        return
    for key in keys_of_scenario(place):
        if place or key not in NOT_SWEPT:
            yield ".".join(map(str, (*place, key)))
            yield from _known((*place, key), content.get(key) if isinstance(content, dict) else None)


def _check_apart(keys: Mapping[str, Sequence[Key]]) -> None:
    """Refuse a key that is set twice: by two axes, or as a whole and in part."""
    seen: list[Key] = []
    for name, of_axis in keys.items():
        for key in of_axis:
            for other in seen:
                shorter = min(len(key.path), len(other.path))
                if key.scenario == other.scenario and key.path[:shorter] == other.path[:shorter]:
                    path = ".".join(map(str, key.path))
                    raise SpecError(f"sweep: {name}: {path} of scenario {key.scenario} is set twice; keep one of them")
            seen.append(key)


def _axis(name: str, keys: Sequence[Key]) -> Axis:
    values = keys[0].values
    for value in values:
        is_number = isinstance(value, float) and math.isfinite(value)
        if not isinstance(value, str | int) and not is_number:
            raise SpecError(
                f"sweep: {name}: {value!r:.60} names no point: the values of an axis's first key have to be numbers or "
                "text"
            )
        if values.count(value) > 1:
            raise SpecError(f"sweep: {name}: {written(value)} stands twice; name each value once")
        if len(written(value)) > 200 or len(name) > 200:  # noqa: PLR2004 - as collect.sweep reads them
            raise SpecError(f"sweep: {name:.60}: names and values have 200 letters at most")
    return Axis(name=name, values=values)


def _points(
    scenario: str,
    content: dict[str, Any],
    own: tuple[Axis, ...],
    letters: Mapping[str, str],
    keys: Mapping[str, Sequence[Key]],
) -> list[Swept]:
    """Return the points of a scenario: each combination of the values of its axes, the last axis first."""
    if not own:
        return [Swept(scenario, scenario, content, Point(of=scenario, values={}))]
    at = list(combinations(own))
    names = [_name(scenario, letters, values) for values in at]
    if len(set(names)) < len(names) or not all(re.fullmatch(NAME, name) for name in names):
        # By their places on the axes, where the values do not make names; what they are is on record.
        places = [[axis.values.index(values[axis.name]) + 1 for axis in own] for values in at]
        names = [f"{scenario[: NAME_LETTERS // 2]}-{'-'.join(map(str, of_point))}" for of_point in places]
    swept = []
    for name, values in zip(names, at, strict=True):
        changed = {**content, "name": name, "title": f"{content.get('title', scenario)}, {told(values)}"}
        for axis in own:
            place = axis.values.index(values[axis.name])
            for key in keys[axis.name]:
                if key.scenario == scenario:
                    changed = _with(changed, key.path, key.values[place])
        swept.append(Swept(scenario, name, changed, Point(of=scenario, values=values)))
    return swept


def _with(content: Any, path: tuple[str | int, ...], value: Any) -> Any:
    """Return a scenario's keys with another value at a path; mappings that are not there yet are made."""
    if not path:
        return value
    step, *rest = path
    if isinstance(content, list):
        return [_with(entry, tuple(rest), value) if place == step else entry for place, entry in enumerate(content)]
    own = content if isinstance(content, dict) else {}
    return {**own, step: _with(own.get(step), tuple(rest), value)}


def _letters(names: Sequence[str]) -> dict[str, str]:
    """Return for each axis the shortest beginning of its name that no other axis has: ``d`` for ``delay_ms``."""
    plain = {name: re.sub(r"[^a-z0-9]", "", name.lower().rpartition(".")[2]) or "x" for name in names}
    letters = {}
    for name, word in plain.items():
        others = [other for one, other in plain.items() if one != name]
        lengths = range(1, len(word) + 1)
        letters[name] = next(
            (word[:length] for length in lengths if not any(other.startswith(word[:length]) for other in others)), word
        )
    return letters


def _name(scenario: str, letters: Mapping[str, str], values: Mapping[str, Value]) -> str:
    """Return the name of a point, such as ``cloud-d1p25-s0p1``: p is the decimal point, as names have none."""
    return "-".join([scenario, *(f"{letters[axis]}{_slug(value)}" for axis, value in values.items())])


def _slug(value: Value) -> str:
    word = written(value) if isinstance(value, str) else written(value).replace(".", "p")
    return re.sub(r"[^a-z0-9]+", "-", word.lower()).strip("-")
