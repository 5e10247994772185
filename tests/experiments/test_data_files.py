"""Files of a data set as people have them: separators, JSON Lines, packed; and the sentence for what is not read."""

from __future__ import annotations

import csv
import gzip
import io
import json
import zipfile
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.data import packed
from experiments.data.dataset import DatasetError, load

if TYPE_CHECKING:
    from pathlib import Path

COUNT = 24
ROWS = [(f"title {index}", f"text {index}, “quoted”", "FAKE" if index % 2 else "REAL") for index in range(COUNT)]
TEXTS = tuple(f"{title}\n{text}" for title, text, _ in ROWS)
LABELS = tuple(label for *_, label in ROWS)
RECORDS = [{"title": title, "text": text, "label": label} for title, text, label in ROWS]
LINES = "\n".join(json.dumps(record) for record in RECORDS)


def table(separator: str = ",", rows: list[tuple[str, ...]] | None = None) -> bytes:
    lines = io.StringIO(newline="")
    csv.writer(lines, delimiter=separator).writerows([("title", "text", "label"), *(rows or ROWS)])
    return lines.getvalue().encode()


def archive(**files: bytes) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as target:
        for name, each in files.items():
            target.writestr(name, each)
    return content.getvalue()


def refusal(path: Path, content: bytes | str) -> str:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DatasetError) as caught:
        load(str(path), texts=3150, seed=1)
    sentence = str(caught.value)
    assert str(path) in sentence
    assert "\n" not in sentence
    return sentence.replace(str(path), "FILE")


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("news.csv", table(), "CSV news.csv, separated by commas, titles and texts"),
        ("news.csv", table(";"), "CSV news.csv, separated by semicolons, titles and texts"),
        ("news.tsv", table("\t"), "CSV news.tsv, separated by tabs, titles and texts"),
        ("bom.csv", b"\xef\xbb\xbf" + table(";"), "CSV bom.csv, separated by semicolons, titles and texts"),
        ("news.csv.gz", gzip.compress(table()), "CSV news.csv.gz, separated by commas, titles and texts"),
        ("parts.gz", gzip.compress(table()[:99]) + gzip.compress(table()[99:]), "CSV parts.gz, separated by commas"),
        ("news.zip", archive(**{"a/news.csv": table(";")}), "CSV news.zip, separated by semicolons"),
        (
            "mac.zip",
            archive(**{"news.csv": table(), "__MACOSX/._news.csv": b"?", ".DS_Store": b"?"}),
            "CSV mac.zip, separated by commas",
        ),
        ("news.jsonl", LINES.encode(), "JSON Lines news.jsonl"),
        ("news.txt", LINES.encode(), "JSON Lines news.txt"),
        ("news.ndjson.gz", gzip.compress(LINES.replace("\n", "\r\n\r\n").encode()), "JSON Lines news.ndjson.gz"),
        ("bom.jsonl", b"\xef\xbb\xbf" + LINES.encode(), "JSON Lines bom.jsonl"),
        ("list.json", json.dumps(RECORDS, indent=1).encode(), "JSON list.json, a list of objects"),
    ],
)  # fmt: skip
def test_what_people_have_is_read_and_they_are_told_how(tmp_path: Path, name: str, content: bytes, told: str) -> None:
    (tmp_path / name).write_bytes(content)
    read = load(str(tmp_path / name), texts=3150, seed=1)
    assert (read.texts, read.labels) == (TEXTS, LABELS)
    assert read.source.startswith(told)


def test_a_packed_file_is_the_same_data_set_as_the_file_itself(tmp_path: Path) -> None:
    (tmp_path / "news.csv").write_bytes(table())
    (tmp_path / "news.csv.gz").write_bytes(gzip.compress(table()))
    plain, packed_ = (load(str(tmp_path / name), texts=3150, seed=1) for name in ("news.csv", "news.csv.gz"))
    assert (plain.name, plain.sha256) == (packed_.name, packed_.sha256) == ("news", plain.sha256)


def test_a_title_may_be_left_out(tmp_path: Path) -> None:
    (tmp_path / "news.csv").write_bytes(
        b"label\ttext\n" + b"".join(f"{label}\t{text}\n".encode() for _, text, label in ROWS)
    )
    read = load(str(tmp_path / "news.csv"), texts=3150, seed=1)
    assert read.texts[3] == "text 3, “quoted”"
    assert read.source == "CSV news.csv, separated by tabs, texts"
    (tmp_path / "news.jsonl").write_text(
        "\n".join(json.dumps({"text": "a b", "title": None, "label": index % 2}) for index in range(COUNT))
    )
    read = load(str(tmp_path / "news.jsonl"), texts=3150, seed=1)
    assert (read.texts[0], read.labels[:2]) == ("a b", ("0", "1"))


@given(text=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=9), ascii_only=st.booleans())
def test_a_line_of_json_ends_where_json_says(
    tmp_path_factory: pytest.TempPathFactory, text: str, *, ascii_only: bool
) -> None:
    """Not where Python would split lines: texts hold form feeds, U+2028 and the like."""
    path = tmp_path_factory.mktemp("lines") / "news.jsonl"
    lines = [json.dumps({"text": f"a{text}b", "label": label}, ensure_ascii=ascii_only) for label in LABELS]
    path.write_bytes("\n".join(lines).encode())
    assert set(load(str(path), texts=3150, seed=1).texts) == {f"a{text}b"}


def test_an_archive_with_a_password_is_refused_as_one(tmp_path: Path) -> None:
    content = bytearray(archive(a=table()))
    directory = content.index(b"PK\x01\x02")
    content[6] |= 1  # the entry's flags, in its own header and in the archive's directory
    content[directory + 8] |= 1
    assert "encrypted, password required for extraction; unpack it yourself" in refusal(
        tmp_path / "news.zip", bytes(content)
    )


@pytest.mark.parametrize("pack", [gzip.compress, lambda content: archive(a=content), bytes])
def test_what_is_too_large_is_not_unpacked_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pack) -> None:
    monkeypatch.setattr(packed, "MOST_BYTES", 2**20)
    monkeypatch.setattr(packed, "PIECE_BYTES", 2**16)
    assert "holds more than 1 MiB, the limit" in refusal(tmp_path / "news", pack(b" " * (2**20 + 1)))
    assert "is empty" in refusal(tmp_path / "news", pack(b" " * 2**20))
