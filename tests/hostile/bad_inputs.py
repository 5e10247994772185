r"""The table of bad inputs: a YAML file a surface in tests/hostile/inputs, each a list of rows.

A row says what the input stands for (``what``), the input itself, in the keys that its surface takes (surfaces/), and the
``answer`` that is expected, in which `…` stands for what differs. Bytes are written with these tags:

    !latin "\\xff"        the bytes of these characters, each below 256
    !json {a: 1}         JSON of it
    !times [x, 3]        three times x, x as text or bytes
    !join [x, y]         x, then y
    !cut [x, 9]          the first 9 bytes of x; -9: all but the last 9
    !gzip x, !zstd x, !utf16 x, !zip {name: x}
    !csv 24, !lines 24   a good data set of 24 texts
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
import zstandard

if TYPE_CHECKING:
    from collections.abc import Callable

INPUTS = Path(__file__).resolve().parent / "inputs"


@dataclass(frozen=True)
class Row:
    """A bad input of a surface; ``given`` are the keys that the surface takes."""

    surface: str
    what: str
    given: dict[str, Any]
    answer: str


def rows(surface: str) -> list[Row]:
    """Return the rows of a surface, in the order of its file."""
    content = yaml.load((INPUTS / f"{surface}.yaml").read_text("utf-8"), _Loader)  # noqa: S506 - it is a SafeLoader
    return [
        Row(surface, row["what"], {k: v for k, v in row.items() if k not in ("what", "answer")}, row["answer"])
        for row in content
    ]


def is_answer(expected: str, answer: str) -> bool:
    """Return whether an answer is the expected one; blanks and line ends are alike."""
    pattern = ".*?".join(re.escape(part.strip()) for part in " ".join(expected.split()).split("…"))
    return re.fullmatch(pattern, " ".join(answer.split())) is not None


def as_bytes(value: Any) -> bytes:
    """Return what is sent for a value of the table: text as UTF-8, bytes as they are, other values as JSON."""
    if isinstance(value, bytes):
        return value
    return value.encode() if isinstance(value, str) else json.dumps(value).encode()


def good_csv(count: int, separator: str = ",") -> bytes:
    """Return a good data set with as many texts."""
    lines = io.StringIO(newline="")
    csv.writer(lines, delimiter=separator, lineterminator="\n").writerows(
        [
            ("title", "text", "label"),
            *((f"title {n}", f"goal {n % 7}, vote", "FAKE" if n % 2 else "REAL") for n in range(count)),
        ]
    )
    return lines.getvalue().encode()


def good_lines(count: int) -> bytes:
    """Return the same as JSON Lines."""
    return b"".join(
        json.dumps({"text": f"goal {n % 7}, vote", "label": "FAKE" if n % 2 else "REAL"}).encode() + b"\n"
        for n in range(count)
    )


def changed(value: Any, changes: dict[str, Any]) -> Any:
    """Return a JSON value with others in the places that dotted paths name; ``!absent`` removes what is there."""
    value = json.loads(json.dumps(value))
    for path, new in changes.items():
        *parents, last = path.split(".")
        inner = value
        for part in parents:
            inner = inner[_place(inner, part)]
        last = _place(inner, last)
        if new is ABSENT:
            del inner[last]
        else:
            inner[last] = new
    return value


def _place(inner: Any, part: str) -> Any:
    return int(part) if isinstance(inner, list) else part


ABSENT = object()


class _Loader(yaml.SafeLoader):
    """YAML with the tags above."""


def _value(loader: yaml.SafeLoader, node: yaml.Node) -> Any:
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    assert isinstance(node, yaml.ScalarNode)
    # Resolved as if it had no tag, and a value with a tag of its own by that tag.
    if node.style is None:
        tag = loader.resolve(yaml.ScalarNode, node.value, (True, False))
        return loader.construct_object(
            yaml.ScalarNode(tag, node.value, node.start_mark, node.end_mark, style=node.style)
        )
    return node.value


def _zipped(files: dict[str, Any]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, each in files.items():
            archive.writestr(name, as_bytes(each))
    return content.getvalue()


TAGS: dict[str, Callable[[Any], Any]] = {
    "!latin": lambda text: text.encode("latin-1"),
    "!json": lambda value: json.dumps(value).encode(),
    "!times": lambda pair: as_bytes(pair[0]) * pair[1],
    "!join": lambda parts: b"".join(map(as_bytes, parts)),
    "!cut": lambda pair: as_bytes(pair[0])[: pair[1]],
    "!gzip": lambda value: gzip.compress(as_bytes(_only(value)), mtime=0),
    "!zstd": lambda value: zstandard.compress(as_bytes(_only(value))),
    "!utf16": lambda text: text.encode("utf-16"),
    "!zip": _zipped,
    "!csv": lambda count: good_csv(int(count)),
    "!lines": lambda count: good_lines(int(count)),
    "!absent": lambda _: ABSENT,
}


def _only(value: Any) -> Any:
    """Return what is packed: YAML has one tag a value, so that what has its own stands in a list."""
    return value[0] if isinstance(value, list) else value


def _add(tag: str, make: Callable[[Any], Any]) -> None:
    def construct(loader: yaml.SafeLoader, node: yaml.Node) -> Any:
        return make(_value(loader, node))

    _Loader.add_constructor(tag, construct)


for _tag, _make in TAGS.items():
    _add(_tag, _make)
