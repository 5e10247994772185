"""``python -m collect export``: a run as tables for other programs, complete, described, harmless in a spreadsheet."""

from __future__ import annotations

import csv
import json
import sys
from random import Random
from statistics import median
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

import msgspec
import pyarrow.parquet
import pytest
from generated_run import MANIFEST, RUN, all_records, model, repetition, request, second, write_load, write_run
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from collect import export, load, parquet, records, tables
from collect.__main__ import main
from collect.records import ModelRecord, Quality, RequestRecord

if TYPE_CHECKING:
    from pathlib import Path


def exported(results: Path, expected: int = 0) -> dict[str, list[dict[str, str]]]:
    """Export the one run there and return the rows of each file."""
    assert main(["export", RUN, "--results", str(results), "--to", str(results / "csv")]) == expected
    rows = {}
    for path in (results / "csv").iterdir():
        with path.open(newline="", encoding="utf-8") as file:
            rows[path.name] = list(csv.DictReader(file, strict=True))
    return rows


def test_the_tables_hold_what_the_report_counts(tmp_path: Path) -> None:
    folder = write_run(tmp_path, all_records(repetitions=8))
    files = exported(tmp_path)
    assert main(["analyse", RUN, "--results", str(tmp_path)]) == 0
    summary = json.loads((folder / "analysis" / "summary.json").read_text())
    for scenario in summary["scenarios"]:
        own = [one for one in files["repetitions.csv"] if one["scenario"] == scenario["name"]]
        counted = [float(one["response_time_ms"]) for one in own if one["state"] == "data point"]
        assert len(counted) == scenario["repetitions"]
        assert median(counted) / 1000 == pytest.approx(scenario["response_s"]["median"], rel=1e-12)
        assert [one["state"] for one in own if one["warmup"] == "true"] == ["warm-up"]
    assert len(files["samples.csv"]) == 27
    assert [one["moment"] for one in files["links.csv"]] == ["before"] * 8 + ["after"] * 8


def test_every_value_is_there_in_full(tmp_path: Path) -> None:
    (first, second, end) = repetition("edge", 1, Random(1), accuracy=0.1 + 0.2)
    write_run(tmp_path, [first, second, end])
    files = exported(tmp_path)
    assert isinstance(first, RequestRecord)
    row = files["samples.csv"][0]
    assert int(row["last_byte_ns"]) == first.last_byte_ns
    assert float(row["phase_search_ms"]) == first.phases_ms["search"]
    assert json.loads(row["parameters"]) == first.parameters
    assert files["repetitions.csv"][0]["accuracy_test"] == repr(0.1 + 0.2)
    assert files["repetitions.csv"][0]["error"] == ""


def test_qualities_are_rows_with_their_measures_the_studys_accuracy_among_them(tmp_path: Path) -> None:
    (first, second, end) = repetition("edge", 1, Random(1), accuracy=0.9)
    assert isinstance(end, ModelRecord)
    score = Quality(measure="score", unit="points", better="lower", value=2.0)
    requests = [replace(one, qualities={"score": value}) for one, value in ((first, 1.5), (second, 2.5))]
    write_run(tmp_path, [*requests, replace(end, qualities=(score,))])
    files = exported(tmp_path)
    own = [(one["measure"], one["unit"], one["better"], one["value"], one["state"]) for one in files["qualities.csv"]]
    assert own == [
        ("test accuracy", "share of texts", "higher", "0.9", "data point"),
        ("score", "points", "lower", "2.0", "data point"),
    ]
    assert [json.loads(one["qualities"]) for one in files["samples.csv"]] == [{"score": 1.5}, {"score": 2.5}]


def test_every_field_of_a_record_is_a_column() -> None:
    samples, repetitions = ({column.name for column in table.columns} for table in tables.TABLES[:2])
    of_request = {field.name for field in msgspec.structs.fields(RequestRecord)} - {"phases_ms", "plan", "schema"}
    assert of_request - samples == set()
    assert {f"phase_{name}_ms" for name in tables.PHASES} | {"other_phases_ms"} <= samples
    # The qualities of a repetition are a table of their own.
    of_end = {field.name for field in msgspec.structs.fields(ModelRecord)} - {"run", "plan", "schema", "qualities"}
    assert of_end - repetitions == set()
    # What a node tells of its links stands with the repetitions that it makes failures of.
    of_second = set(load.Sample.__struct_fields__) - {"links_problem"}
    assert {column.name for column in tables.LOAD.columns} == {"nodes", "cores", *of_second}


@pytest.mark.parametrize(("table", "record"), [(tables.SAMPLES, RequestRecord), (tables.REPETITIONS, ModelRecord)])
def test_the_types_of_columns_are_those_of_the_records(table: tables.Table[Any], record: type[msgspec.Struct]) -> None:
    kinds: dict[type, tables.Kind] = {bool: "boolean", int: "integer", float: "number"}
    annotated = get_type_hints(record)
    for column in table.columns:
        if column.name in annotated:
            names = get_args(annotated[column.name]) or (annotated[column.name],)
            assert column.kind == kinds.get(names[0], "text"), column.name


def test_the_load_is_a_row_a_second_of_each_machine(tmp_path: Path) -> None:
    folder = write_run(tmp_path, all_records(repetitions=2))
    write_load(folder, "bs", "a", [second(1), second(2.5, frequency_mhz=2400.0)])
    write_load(folder, "edge-1", "a", [second(1)])
    write_load(folder, "cloud-1", "b", [second(7, cpu_percent=99.5)])
    rows = exported(tmp_path)["load.csv"]
    assert sorted((one["nodes"], one["at_s"], one["frequency_mhz"]) for one in rows) == [
        ("bs edge-1", "1.0", ""),
        ("bs edge-1", "2.5", "2400.0"),
        ("cloud-1", "7.0", ""),
    ]
    assert [one["cpu_percent"] for one in rows if one["nodes"] == "cloud-1"] == ["99.5"]


def test_parquet_files_hold_the_values_of_the_csv_files_in_types_with_units(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "GROUP", 7)
    folder = write_run(tmp_path, all_records(repetitions=8))
    write_load(folder, "bs", "a", [second(1), second(2.5)])
    files = exported(tmp_path)
    assert main(["export", RUN, "--results", str(tmp_path), "--format", "parquet"]) == 0
    for table in (*tables.TABLES, tables.DICTIONARY):
        read = pyarrow.parquet.read_table(folder / "export" / f"{table.name}.parquet")
        rows = files[f"{table.name}.csv"]
        if table is tables.DICTIONARY:
            rows = [{**row, "file": row["file"].replace(".csv", ".parquet")} for row in rows]
        assert read.column_names == [column.name for column in table.columns]
        assert [{name: export.cell(value) for name, value in row.items()} for row in read.to_pylist()] == rows
    samples = pyarrow.parquet.read_schema(folder / "export" / "samples.parquet")
    assert samples.field("sent_ns").metadata == {
        b"unit": b"ns",
        b"meaning": b"On the base station's monotonic clock, just before it was sent.",
    }
    types = [str(samples.field(name).type) for name in ("sent_ns", "phase_fit_ms", "cold", "node")]
    assert types == ["int64", "double", "bool", "string"]


def test_without_pyarrow_parquet_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], root: Path
) -> None:
    write_run(tmp_path, all_records(repetitions=2))
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert main(["export", RUN, "--results", str(tmp_path), "--format", "parquet"]) == 2
    assert "install it: .venv/bin/pip install --require-hashes -r requirements/parquet.txt" in capsys.readouterr().err
    assert (root / "requirements" / "parquet.txt").exists()


def test_the_dictionary_describes_every_column_of_every_file_in_their_order(tmp_path: Path) -> None:
    folder = write_run(tmp_path, all_records(repetitions=2))
    write_load(folder, "bs", "a", [second(1)])
    files = exported(tmp_path)
    for name in ("samples.csv", "repetitions.csv", "qualities.csv", "links.csv", "load.csv", "dictionary.csv"):
        described = [one for one in files["dictionary.csv"] if one["file"] == name]
        assert [one["column"] for one in described] == list(files[name][0])
        assert all(one["meaning"].endswith(".") and one["row"] for one in described)
        for one in described:
            suffix = one["column"].rpartition("_")[2]
            assert one["unit"] == {
                "ns": "ns",
                "ms": "ms",
                "percent": "%",
                "bytes": "B",
                "mbit": "Mbit/s",
                "mib": "MiB",
            }.get(suffix, one["unit"])


def test_what_became_of_each_attempt_is_told(tmp_path: Path) -> None:
    lines: list[records.Record] = []
    for number in (1, 2, 3):
        lines += [request(repetition=number), model(repetition=number)]
        cloud = {"scenario": "cloud", "repetition": number}
        if number == 2:
            lines += [request(error="reset by peer", status=None, **cloud), model(**cloud, error="a request failed")]
            continue
        lines += [request(**cloud), model(**cloud)]
    lines += [request(repetition=4, attempt=1), model(repetition=4, attempt=1), request(repetition=4, attempt=2)]
    lines += [model(repetition=4, attempt=2), request(repetition=5)]
    write_run(tmp_path, lines)
    rows = exported(tmp_path)["repetitions.csv"]
    states = {(one["scenario"], one["repetition"], one["attempt"]): (one["state"], one["error"]) for one in rows}
    assert states["edge", "1", "1"] == ("data point", "")
    assert states["edge", "2", "1"] == ("unpaired", "")
    assert states["cloud", "2", "1"] == ("failed", "a request failed; request 0: reset by peer")
    assert states["edge", "4", "1"] == ("measured again", "")
    assert states["edge", "4", "2"] == ("unpaired", "")
    assert states["edge", "5", "1"] == ("failed", "interrupted before the base station had finished training")
    samples = exported(tmp_path)["samples.csv"]
    assert [one["state"] for one in samples if one["repetition"] == "5"] == ["failed"]


def test_a_refused_run_has_no_data_points(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_run(tmp_path, all_records(repetitions=2), trouble=True)
    files = exported(tmp_path, expected=4)
    assert {one["state"] for one in files["samples.csv"]} == {"warm-up", "refused"}
    assert "Refused: The verification after measuring found 1 of 8 links off" in capsys.readouterr().out
    assert [one["problems"] for one in files["links.csv"] if one["ok"] == "false"] == ["jitter 2.97 ms, expected 3 ms"]


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", "\nx", "\uff1dx", '=HYPERLINK("http://x")']
)
def test_a_text_that_a_spreadsheet_would_execute_is_neutralised(tmp_path: Path, text: str) -> None:
    folder = write_run(tmp_path, [request(replica=text), model()])
    (folder / "links" / "after.json").unlink()
    links = json.loads((folder / "links" / "before.json").read_text())
    (folder / "links" / "before.json").write_text(json.dumps({**links, "backend": text}))
    files = exported(tmp_path)
    assert files["samples.csv"][0]["replica"] == f"'{text}"
    assert {one["backend"] for one in files["links.csv"]} == {f"'{text}"}


def test_negative_numbers_are_numbers(tmp_path: Path) -> None:
    assert export.cell(-3) == "-3"
    assert export.cell(-0.5) == "-0.5"
    assert export.cell(True) == "true"
    assert export.cell(None) == ""


@given(st.text(max_size=20))
def test_no_text_begins_as_a_formula(text: str) -> None:
    assert not export.cell(text).startswith(export.FORMULA)
    assert export.cell(text).endswith(text)


@pytest.mark.parametrize("text", ['a "quote", a comma', "two\nlines", "a\rreturn", "\u2192", "a\x00b", ""])
def test_any_other_text_is_read_again_as_it_was(tmp_path: Path, text: str) -> None:
    write_run(tmp_path, [request(replica=text), model()])
    assert exported(tmp_path)["samples.csv"][0]["replica"] == text


def test_without_a_folder_the_tables_are_part_of_the_run_and_the_same_bytes_again(tmp_path: Path) -> None:
    folder = write_run(tmp_path, all_records(repetitions=2))
    (folder / "manifest.json").write_text(json.dumps(MANIFEST))
    assert main(["export", "--results", str(tmp_path)]) == 0
    first = {path.name: path.read_bytes() for path in (folder / "export").iterdir()}
    names = [
        "changes.csv",
        "dictionary.csv",
        "links.csv",
        "load.csv",
        "networks.csv",
        "pods.csv",
        "qualities.csv",
        "repetitions.csv",
        "resources.csv",
        "samples.csv",
    ]
    assert sorted(first) == names
    assert main(["export", "--results", str(tmp_path)]) == 0
    assert {path.name: path.read_bytes() for path in (folder / "export").iterdir()} == first


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_run(tmp_path, all_records(repetitions=2))
    (tmp_path / "file").write_text("mine")
    assert main(["export", RUN, "--results", str(tmp_path), "--to", str(tmp_path / "file" / "csv")]) == 2
    error = capsys.readouterr().err
    assert "cannot be written" in error
    assert error.count("\n") == 1
    assert (tmp_path / "file").read_text() == "mine"
