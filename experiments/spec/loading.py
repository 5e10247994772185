"""Scenario files: from YAML to an experiment, or to one sentence that names file and key."""

from __future__ import annotations

import os
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from collect.sweep import told
from experiments import workloads
from experiments.base_station import arrivals
from experiments.errors import SpecError
from experiments.spec import document, link_trace, sweep
from experiments.spec.experiment import Experiment, Scenario
from experiments.spec.fields import nearest
from experiments.spec.schema import OF_EXPERIMENT, keys_at
from experiments.workloads import files
from experiments.workloads.workload import SettingsError
from nodes.errors import place

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from collect.sweep import Sweep

SCENARIOS = Path(__file__).resolve().parents[1]

M = TypeVar("M", bound=BaseModel)
# How the keys end whose values are files.
FILES = (".file", "_file", "_folder")


def load(name: str, *, repetitions: int | None = None) -> Experiment:
    """Return the experiment of a scenario's name (a file beside this one) or of the path of a YAML file.

    A file either holds one scenario, or names others under ``scenarios``, whose paths start at that file's folder: by
    name, or as a mapping that ``extends`` one with keys of its own.

    Raises:
        SpecError: there is no such scenario, the file is not YAML, or a key or value is wrong (file and key named).
    """
    path = _path_of(name)
    data = _read(path)
    settings: dict[str, Any] = {key: data.pop(key) for key in OF_EXPERIMENT if key in data}
    if repetitions is not None:
        settings["repetitions"] = repetitions
    if "scenarios" in data:
        members = data.pop("scenarios")
        if not isinstance(members, list) or not all(isinstance(member, str | dict) for member in members):
            raise SpecError(f"{path}: scenarios: must be a list of scenario names, such as [edge, cloud]")
        unknown = sorted(map(str, set(data) - {"name"}))
        if unknown:
            raise SpecError(f"{path}: {unknown[0]}: not a key of a file that lists scenarios; put it in the scenario's")
        named = [_member(member, number, path) for number, member in enumerate(members)]
        for member_path, content, _ in named:
            if "scenarios" in content:
                raise SpecError(f"{member_path}: lists scenarios itself; name these in {path}")
            # Its repetitions are those of a run of this scenario alone, but to ignore this key would change the data.
            if "deduplicate" in content and content["deduplicate"] != settings.get("deduplicate", False):
                raise SpecError(
                    f"{member_path}: deduplicate: the scenarios of a run share its data set; set it in {path}, too"
                )
            if "sweep" in content:
                raise SpecError(f"{member_path}: sweep: belongs to a whole run; name it in {path}")
        contents = [
            (_merged(_read_in(content, member_path), _read_in(own, path)), path if own else member_path)
            for member_path, content, own in named
        ]
        named_as = data.get("name", path.stem)
    else:
        contents = [(_read_in(data, path), path)]
        named_as = data.get("name")
    scenarios = [_validate(Scenario, content, where) for content, where in contents]
    if "sweep" in settings:
        settings["sweep"], scenarios = _swept(scenarios, contents, settings, path)
    return _validate(Experiment, {"name": named_as, **settings, "scenarios": scenarios}, path)


def resolved(path: Path) -> Experiment:
    """Return the experiment that a run keeps as its ``scenario.yaml``; raises as `load`."""
    return _validate(Experiment, _read(path), path)


def _swept(
    scenarios: Sequence[Scenario],
    contents: Sequence[tuple[dict[str, Any], Path]],
    settings: dict[str, Any],
    path: Path,
) -> tuple[Sweep, list[Scenario]]:
    """Return the axes of a sweep, and its points as scenarios; a value that is refused is named with its point."""
    names = [scenario.name for scenario in scenarios]
    if len(set(names)) < len(names):
        raise SpecError(f"{path}: sweep: two scenarios have the same name; a sweep tells them apart by it")
    for key in _swept_keys(settings["sweep"]):
        if key.endswith(FILES):
            raise SpecError(
                f"{path}: sweep: {key}: files are no values of an axis; list scenarios that extend each other, each "
                "with its file"
            )
    times = sum(one for key in ("repetitions", "warmups") if isinstance(one := settings.get(key, 1), int))
    try:
        axes, swept = sweep.expand(
            settings["sweep"], {name: content for name, (content, _) in zip(names, contents, strict=True)}, times=times
        )
    except SpecError as error:
        raise SpecError(f"{path}: {error}") from error
    return axes, [
        _validate(Scenario, _read_in(one.content, path), f"{path}: sweep: {one.of} at {told(one.point.values)}")
        for one in swept
    ]


def _swept_keys(axes: object) -> Iterator[str]:
    """Yield the keys that a sweep names, whatever else is wrong with it."""
    for name, values in axes.items() if isinstance(axes, dict) else ():
        yield from map(str, values) if isinstance(values, dict) else [str(name)]


def _member(member: str | dict[str, Any], number: int, path: Path) -> tuple[Path, dict[str, Any], dict[str, Any]]:
    """Return the file of a scenario of a list, what it holds, and the keys that the list itself sets for it."""
    if isinstance(member, str):
        name, own = member, {}
    else:
        own = {key: value for key, value in member.items() if key != "extends"}
        name = member.get("extends", "")
        if not isinstance(name, str) or not name:
            raise SpecError(f"{path}: scenarios.{number}.extends: needed: the scenario that these keys change")
        settings = sorted(set(own) & set(OF_EXPERIMENT))
        if settings:
            raise SpecError(f"{path}: scenarios.{number}.{settings[0]}: belongs to the whole file, beside scenarios")
    found = _path_of(name, path.parent)
    return found, _read(found), own


def _merged(base: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """Return a mapping with another's keys in place of its own, mappings key by key; null takes a key away."""
    merged = dict(base)
    for key, value in own.items():
        before = merged.pop(key, None)
        if value is not None:
            both = isinstance(before, dict) and isinstance(value, dict)
            merged[key] = _merged(before, value) if both else _merged({}, value) if isinstance(value, dict) else value
    return merged


def _read_in(data: dict[str, Any], path: Path) -> dict[str, Any]:
    """Return a scenario's keys with the files that they name read in; their paths start at the file's folder."""
    own = {key: value for key, value in data.items() if key not in OF_EXPERIMENT}
    match own.get("workload"):
        case str(name):
            own["workload"] = {"name": name}
        case {"name": str(name), **settings}:
            own["workload"] = {"name": name, **_resolved(name, settings, path)}
    match own.get("traffic"):
        case {"file": str(name), **others}:
            if "trace" in others:
                raise SpecError(f"{path}: traffic.file: trace is set too; keep one of them")
            own["traffic"] = {**others, "trace": _trace(path.parent / name, path)}
    if isinstance(events := own.get("events"), list):
        own["events"] = list(chain.from_iterable(_recorded(one, number, path) for number, one in enumerate(events)))
    return own


def _recorded(event: Any, number: int, path: Path) -> list[Any]:
    """Return an event, or those that the file is which it names."""
    match event:
        case {"file": str(name), **others}:
            key, file = f"events.{number}.file", path.parent / name
            try:
                text = files.text(file, key)
            except SettingsError as error:
                raise SpecError(f"{path}: {error}") from error
            try:
                return link_trace.events({str(key): one for key, one in others.items()}, text)
            except ValueError as error:
                raise SpecError(f"{path}: {key}: {file}, {error}") from error
    return [event]


def _trace(file: Path, path: Path) -> str:
    """Return the trace that a file holds, checked so that a wrong line is named with its file."""
    try:
        text = files.text(file, "traffic.file")
    except SettingsError as error:
        raise SpecError(f"{path}: {error}") from error
    try:
        arrivals.read_trace(text)
    except ValueError as error:
        raise SpecError(f"{path}: traffic.file: {file}, {error}") from error
    return text


def _resolved(workload: str, settings: dict[Any, Any], path: Path) -> dict[str, Any]:
    """Return the settings with the files that they name read in, so that the run's folder has all there is to them."""
    try:
        return workloads.resolve(workload, settings, path.parent)
    except SettingsError as error:
        raise SpecError(f"{path}: {error}") from error


def _path_of(name: str, folder: Path = Path()) -> Path:
    path = folder / name if name.endswith((".yaml", ".yml")) else SCENARIOS / f"{name}.yaml"
    if not os.path.isfile(path):  # noqa: PTH113 - Path's own raises where the name is too long
        known = ", ".join(sorted(entry.stem for entry in SCENARIOS.glob("*.yaml")))
        raise SpecError(
            f"unknown scenario {name!r:.200}: {path!s:.200} does not exist; expected {known}, or a .yaml file"
        )
    return path


def _read(path: Path) -> dict[str, Any]:
    data = document.read(path)
    if not isinstance(data, dict):
        raise SpecError(f"{path}: a scenario is a mapping of keys such as links and function; compare edge.yaml")
    return data


def _validate(model: type[M], data: dict[str, Any], path: Path | str) -> M:
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise SpecError("\n".join(_sentences(error, model, path))) from error


def _sentences(error: ValidationError, model: type[BaseModel], path: Path | str) -> list[str]:
    sentences = []
    for problem in error.errors()[:2]:
        where = place(problem["loc"])
        match problem["type"]:
            case "extra_forbidden":
                *outer, key = problem["loc"]
                beside = () if outer or model is not Scenario else OF_EXPERIMENT
                what = f"unknown key; {nearest(str(key), [*keys_at(model, outer), *beside])}"
            case "string_pattern_mismatch":
                what = f"invalid name {problem['input']!r:.60}: expected a few lower-case letters, digits and hyphens"
            case "tuple_type":
                what = "expected a list, such as [edge, cloud]"
            case "model_type" | "dict_type":
                what = "expected a mapping of keys"
            case "too_short":
                what = "expected at least one entry"
            case _:
                what = problem["msg"]
        sentences.append(f"{path}: {where + ': ' if where else ''}{what.removeprefix('Value error, ')}")
    return sentences
