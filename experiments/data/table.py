"""A data set as a table: a title, a text and a label in each row, between commas, semicolons or tabs."""

from __future__ import annotations

import csv
import re
import sys
from typing import TYPE_CHECKING

from experiments.data.content import Content, DatasetError

if TYPE_CHECKING:
    from _csv import Reader
    from pathlib import Path

COLUMNS = ("title", "text", "label")
REQUIRED = ("text", "label")
# As Python's reader quotes it.
TAB = "'\t'"
# A first line is looked for in so many characters: the file is not copied once more for each separator.
HEADER_CHARACTERS = 100_000
LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")
SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}


def read(path: Path, text: str) -> Content:
    """Return the texts and labels of a CSV, whatever its separator, and the order and case of its columns.

    A title, where there is such a column, stands above its text.

    Raises:
        DatasetError: a column is missing or there twice, or a row is not CSV; its line is named.
    """
    # Kaggle's longest text has more than the module's 128 KiB; what is read already needs no limit.
    csv.field_size_limit(sys.maxsize)
    headers = {separator: _header(text, separator) for separator in SEPARATORS}
    separator = max(SEPARATORS, key=lambda one: sum(name in headers[one] for name in COLUMNS))
    header = headers[separator]
    missing = [name for name in REQUIRED if name not in header]
    if missing:
        raise DatasetError(
            f"{path}: is neither JSON nor a CSV with the columns {', '.join(COLUMNS)}: "
            f"its first line has no {' and no '.join(missing)}"
        )
    twice = next((name for name in COLUMNS if header.count(name) > 1), None)
    if twice is not None:
        raise DatasetError(
            f"{path}: its first line has {header.count(twice)} columns {twice}; rename those that are not meant"
        )
    has_titles = COLUMNS[0] in header
    kind = f"CSV {path.name}, separated by {SEPARATORS[separator]}, {'titles and texts' if has_titles else 'texts'}"
    return _rows(path, text, separator, header, kind)


def _header(text: str, separator: str) -> list[str]:
    try:
        return [name.strip().lower() for name in next(filter(None, _reader(text[:HEADER_CHARACTERS], separator)), [])]
    except csv.Error:
        return []


def _rows(path: Path, text: str, separator: str, header: list[str], kind: str) -> Content:
    places = [header.index(name) for name in COLUMNS if name in header]
    *words_at, label_at = places
    rows = _reader(text, separator)
    texts: list[str] = []
    labels: list[str] = []
    lines: list[str] = []
    try:
        next(filter(None, rows))
        for row in filter(None, rows):
            if len(row) != len(header):
                raise DatasetError(
                    f"{path}: the row that ends on line {rows.line_num} has {len(row)} fields instead of "
                    f"{len(header)}; {_escapes(text) or f'texts with {SEPARATORS[separator]} or line ends need quotes'}"
                )
            texts.append("\n".join(part for part in (row[at] for at in words_at) if part.strip()))
            labels.append(row[label_at])
            lines.append(f"the row that ends on line {rows.line_num}")
    except csv.Error as error:
        reason = str(error).replace(TAB, "a tab")
        raise DatasetError(
            f"{path}: line {rows.line_num} is not CSV: {reason}; {_escapes(text) or _remedy(error)}"
        ) from error
    return Content(str(path), kind, texts, labels, lines)


def _reader(text: str, separator: str) -> Reader:
    # A file-like copy of the text would take four bytes for each character.
    return csv.reader((line[0] for line in LINE.finditer(text)), delimiter=separator, strict=True)


def _escapes(text: str) -> str:
    """Name escapes that CSV does not have, where a file that is not CSV has some."""
    if '\\"' not in text:
        return ""
    return 'the file has \\" for a quote inside a text, where CSV doubles it (""): write the file with doubled quotes'


def _remedy(error: csv.Error) -> str:
    if "expected after" in str(error):
        return 'a quote inside a quoted text is written twice ("")'
    return "is the file whole?"
