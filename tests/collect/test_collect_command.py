"""``python -m collect`` as a user meets it: what it prints, writes and reports when something is wrong."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from generated_run import RUN, all_records, model, request, write_run

from collect import records
from collect.__main__ import main

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.once


def test_help_names_the_subcommands(root: Path) -> None:
    command = subprocess.run(
        [sys.executable, "-m", "collect", "--help"], cwd=root, capture_output=True, text=True, check=True
    )
    assert all(word in command.stdout for word in ("pull", "analyse", "report"))


def test_analyse_prints_the_table_and_writes_the_summary(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_run(tmp_path, all_records())
    assert main(["analyse", RUN, "--results", str(tmp_path)]) == 0
    output = capsys.readouterr().out
    assert re.search(r"edge: response time \(s\) .* 20 .* 95\.9 %", output)
    assert "ratio of median response times" in output
    assert output.count("does not hold") == 2
    assert any(line.startswith("The response time of edge was typically 63 %") for line in output.splitlines())
    assert any(
        line.endswith("cloud was compute-bound: of its response time 49 % was network and gateway, 51 % compute.")
        for line in output.splitlines()
    )
    assert json.loads((folder / "analysis" / "summary.json").read_text())["run"] == RUN


def test_analyse_says_what_should_be_known_of_the_data_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_run(tmp_path, all_records(repetitions=3))
    (folder / "manifest.json").write_text(json.dumps({"dataset": {"notes": ["Empty texts: 2 of 40 (5.0 %)."]}}))
    assert main(["analyse", RUN, "--results", str(tmp_path)]) == 0
    assert "note: data set: Empty texts: 2 of 40 (5.0 %).\n" in capsys.readouterr().out
    (folder / "manifest.json").write_text(json.dumps({"dataset": {"notes": "none"}}))
    assert main(["analyse", RUN, "--results", str(tmp_path)]) == 0
    assert "note: data set" not in capsys.readouterr().out


def test_report_writes_every_figure_in_three_formats_and_the_same_bytes_again(tmp_path: Path) -> None:
    folder = write_run(tmp_path, all_records(repetitions=6))
    assert main(["report", RUN, "--results", str(tmp_path)]) == 0
    first = {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    names = {path.name for path in (folder / "figures").iterdir()}
    drawn = ("fig5a", "fig5b", "phases", "uploads", "ratio", "ratio-apart", "links", "timeline")
    assert names == {f"{name}.{kind}" for name in drawn for kind in ("svg", "pdf", "png")}
    assert main(["report", RUN, "--results", str(tmp_path)]) == 0
    assert first == {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.usefixtures("no_figures")
def test_the_raw_records_are_not_touched(tmp_path: Path) -> None:
    folder = write_run(tmp_path, all_records(repetitions=3))
    raw = folder / "raw" / "samples.jsonl"
    before = raw.read_bytes(), raw.stat().st_mtime_ns
    main(["report", "--results", str(tmp_path)])
    assert (raw.read_bytes(), raw.stat().st_mtime_ns) == before


def test_without_a_run_the_one_written_to_last_is_taken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for age, name in ((100, "zebra"), (50, "newest"), (200, "antelope")):
        folder = write_run(tmp_path, all_records(("edge",), 3), name, whole=False)
        os.utime(folder / "raw" / "samples.jsonl", (1e9 - age, 1e9 - age))
    assert main(["analyse", "--results", str(tmp_path)]) == 0
    assert "Run newest" in capsys.readouterr().out


def test_what_is_missing_from_the_folder_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_run(tmp_path, all_records(("edge",), 3), whole=False)
    assert main(["analyse", "--results", str(tmp_path)]) == 0
    output = capsys.readouterr().out
    for name in ("scenario.yaml", "manifest.json", "steps.json", "links/before.json", "links/after.json"):
        assert f"note: {name} is missing" in output


@pytest.mark.usefixtures("no_figures")
def test_damaged_links_are_reported_and_do_not_stop_the_numbers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_run(tmp_path, all_records(repetitions=3))
    (folder / "links" / "after.json").write_text('{"taken_at": "x", "backend": "kernel", "links": [{"source": 1}]}')
    (folder / "manifest.json").write_text("{")
    assert main(["report", "--results", str(tmp_path)]) == 0
    report = (folder / "report.html").read_text()
    assert "links/after.json is damaged and was ignored: links.0" in report
    assert "manifest.json is damaged" in report
    assert capsys.readouterr().err == ""


def test_a_torn_line_is_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_run(tmp_path, all_records(repetitions=3))
    with (folder / "raw" / "samples.jsonl").open("a") as file:
        file.write(records.dump(request())[:70])
    assert main(["analyse", "--results", str(tmp_path)]) == 0
    assert "1 torn line of samples.jsonl" in capsys.readouterr().out


def test_records_of_several_base_stations_are_read_from_their_folders(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_run(tmp_path, [request(base_station="bs-1"), model(base_station="bs-1")], whole=False)
    (folder / "raw" / "bs-2").mkdir()
    records.append(
        folder / "raw" / "bs-2" / "samples.jsonl", [request(base_station="bs-2"), model(base_station="bs-2")]
    )
    assert main(["analyse", "--results", str(tmp_path)]) == 0
    assert "(2 repetitions)" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["analyse", "report", "pull"])
def test_an_unknown_run_is_one_line_with_the_newest_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    write_run(tmp_path, all_records(("edge",), 1), "the-only-one")
    assert main([command, "nonsense", "--results", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: there is no run 'nonsense'")
    assert "the-only-one" in error
    assert error.count("\n") == 1


def test_no_results_at_all_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "--results", str(tmp_path / "none")]) == 2
    assert main(["report", "--results", str(tmp_path)]) == 2
    assert capsys.readouterr().err.splitlines() == [
        (
            f"error: there is no folder {tmp_path / 'none'}; run an experiment first (make experiment), or name the "
            "folder of the results with --results"
        ),
        f"error: {tmp_path} holds no run yet; run an experiment first (make experiment)",
    ]


def test_a_run_that_measured_nothing_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty" / "raw").mkdir(parents=True)
    assert main(["report", "--results", str(tmp_path)]) == 2
    assert "python -m collect pull empty" in capsys.readouterr().err


def test_a_run_without_a_finished_repetition_says_what_failed_last(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(tmp_path, [request(error="timed out"), model(error="a request failed", response_time_ms=None)])
    assert main(["report", "--results", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert "has finished (1 failed, 0 warm-ups)" in error
    assert "last failure: a request failed; request 0: timed out" in error


def test_a_damaged_line_is_named_and_the_trace_comes_only_with_debug(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_run(tmp_path, all_records(("edge",), 3))
    raw = folder / "raw" / "samples.jsonl"
    lines = raw.read_text().splitlines()
    lines[3] = lines[3].replace('"repetition":', '"repetition":x')
    raw.write_text("\n".join(lines) + "\n")
    assert main(["analyse", "--results", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert f"{raw}, line 4: not JSON" in error
    assert "Traceback" not in error
    assert main(["analyse", "--results", str(tmp_path), "--debug"]) == 2
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.lab(judges_links=False)  # it mounts a disk of its own
def test_a_full_disk_is_one_line_and_leaves_no_half_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)], check=True)
    try:
        folder = write_run(disk, all_records(repetitions=6))
        assert main(["report", "--results", str(disk)]) == 2
        error = capsys.readouterr().err
        assert error.startswith("error: the disk is full: ")
        assert error.count("\n") == 1
        assert not (folder / "report.html").exists()
        assert list(folder.rglob("*.partial")) == []
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_run(tmp_path, all_records(("edge",), 3))
    (folder / "analysis").write_text("a file where the folder should be")
    assert main(["analyse", "--results", str(tmp_path)]) == 2
    assert "summary.json cannot be written: " in capsys.readouterr().err
