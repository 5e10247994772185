"""A data set as JSON: the peer's object, a list of objects, or an object a line (JSON Lines)."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

from experiments.data.content import Content, DatasetError
from experiments.data.packed import plain_name
from experiments.data.table import COLUMNS, REQUIRED

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

LINES = (".jsonl", ".ndjson")
KINDS = {str: "a string", bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "an object"}
END_OF_LINE = re.compile(r"[ \t\r]*\n")


class _DoubledKeyError(ValueError):
    """A key stands twice in one object; a decoder would keep the last value and drop the others silently."""


def is_json(path: Path, text: str) -> bool:
    """Return whether a file's name, with or without .gz or .zip, or its first character says that it is JSON."""
    return plain_name(path).suffix.lower() in (".json", *LINES) or text.lstrip().startswith(("{", "["))


def read(path: Path, text: str) -> Content:
    """Return the texts and labels of the peer's JSON, or of objects with the keys text, label and perhaps title.

    Raises:
        DatasetError: it is not JSON or of another shape, a key is missing or there twice, or a value has another type.
    """
    if plain_name(path).suffix.lower() in LINES:
        return _records(path, f"JSON Lines {path.name}", _by_line(path, text))
    start = len(text) - len(text.lstrip())
    data, end = _decoded(text, start, str(path))
    if isinstance(data, dict) and text[end:].strip() and END_OF_LINE.match(text, end):
        return _records(path, f"JSON Lines {path.name}", _by_line(path, text))
    if text[end:].strip():
        raise DatasetError(f"{path}: is not JSON: what follows after its first {end} characters does not belong to it")
    match data:
        case {"x_dict": dict(texts), "y_dict": dict(labels)}:
            return _peer(path, texts, labels)
        case [dict(), *_]:
            objects = ((f"object {number}", one) for number, one in enumerate(data, 1))
            return _records(path, f"JSON {path.name}, a list of objects", objects)
    raise DatasetError(
        f'{path}: is JSON of another shape; it must be {{"x_dict": {{"0": text, …}}, "y_dict": {{"0": label, …}}}}, or '
        'an object {"text": text, "label": label} a line'
    )


def _decoded(text: str, start: int, where: str) -> tuple[Any, int]:
    """Return the JSON value that begins at ``start``, and where it ends."""
    try:
        return json.JSONDecoder(object_pairs_hook=_each_key_once).raw_decode(text, start)
    except _DoubledKeyError as error:
        raise DatasetError(f"{where}: {error}; each key must be there once") from error
    except json.JSONDecodeError as error:
        raise DatasetError(f"{where}: is not JSON: {error}") from error
    except RecursionError as error:
        raise DatasetError(f"{where}: is JSON that is nested too deeply; expected texts and labels") from error
    except ValueError as error:  # Python's own limit for a number
        raise DatasetError(f"{where}: holds a number of too many digits; expected texts and labels") from error


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        first, *others = [key for key, count in Counter(key for key, _ in pairs).items() if count > 1]
        if others:
            raise _DoubledKeyError(
                f"{1 + len(others)} keys stand more than once in one object, the first is {first!r:.60}"
            )
        raise _DoubledKeyError(f"the key {first!r:.60} stands more than once in one object")
    return values


def _by_line(path: Path, text: str) -> Iterator[tuple[str, Any]]:
    # Not by splitlines: a text may hold what it takes for line ends.
    for number, line in enumerate(text.split("\n"), 1):
        if line := line.strip():
            data, end = _decoded(line, 0, f"{path}: line {number}")
            if line[end:]:
                raise DatasetError(f"{path}: line {number}: is not JSON: more follows after the object's end")
            yield f"line {number}", data


def _records(path: Path, kind: str, objects: Iterable[tuple[str, Any]]) -> Content:
    texts: list[str] = []
    labels: list[str] = []
    places: list[str] = []
    for place, one in objects:
        if not isinstance(one, dict):
            raise DatasetError(f"{path}: {place}: is {_kind(one)}; expected an object with text and label")
        values = {key.strip().lower(): value for key, value in one.items()}
        missing = [name for name in REQUIRED if name not in values]
        if missing:
            raise DatasetError(f"{path}: {place}: has no {' and no '.join(missing)}")
        if len(values) < len(one):
            raise DatasetError(f"{path}: {place}: two keys differ only by case or blanks; rename one of them")
        words = [values.get(name) for name in COLUMNS if name != "label"]
        for value in words:
            if not isinstance(value, str | None):
                raise DatasetError(f"{path}: {place}: has {_kind(value)} for a text; a text must be a string")
        label = values["label"]
        if isinstance(label, list | dict):
            raise DatasetError(f"{path}: {place}: has {_kind(label)} for a label; a label must be a string or a number")
        texts.append("\n".join(part for part in words if part and part.strip()))
        labels.append(label if isinstance(label, str) else "" if label is None else json.dumps(label))
        places.append(place)
    return Content(str(path), kind, texts, labels, places)


def _peer(path: Path, x: dict[str, Any], y: dict[str, Any]) -> Content:
    for one, this, other, that in ((x, "x_dict", y, "y_dict"), (y, "y_dict", x, "x_dict")):
        lonely = [key for key in one if key not in other]
        if lonely:
            raise DatasetError(
                f"{path}: {len(lonely)} keys of {this} are not in {that}, the first is {lonely[0]!r}; "
                "each text needs a label of the same key"
            )
    for key, value in x.items():
        if not isinstance(value, str):
            raise DatasetError(f"{path}: x_dict, key {key!r}: is {_kind(value)}; a text must be a string")
        if not isinstance(y[key], str):
            raise DatasetError(f'{path}: y_dict, key {key!r}: is {_kind(y[key])}; a label must be a string, as "FAKE"')
    places = [f"key {key!r} of y_dict" for key in x]
    return Content(str(path), f"peer's JSON {path.name}", list(x.values()), [y[key] for key in x], places)


def _kind(value: Any) -> str:
    """Return what JSON calls a value that is not a string."""
    return "null" if value is None else KINDS[type(value)]
