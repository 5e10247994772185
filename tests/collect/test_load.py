"""The load of nodes in a run's folder: read as data, one line for each machine, and drawn over time."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from math import inf
from typing import TYPE_CHECKING

import pytest
from generated_run import RUN, all_records, model, request, second, write_load, write_run

from collect import load, run
from collect.__main__ import main
from collect.folder import RunFolder
from collect.report import figures
from collect.report.figures import timeline

if TYPE_CHECKING:
    from pathlib import Path

    from collect.records import Record

# Of the generated records' first repetition, in seconds since 1970.
BEGUN_S = 1795492800.0


def test_nodes_of_one_machine_are_one_and_starts_follow_each_other(tmp_path: Path) -> None:
    write_load(tmp_path, "bs", "a", [second(3), second(4)], "2.jsonl")
    write_load(tmp_path, "bs", "a", [second(1), second(2)])
    write_load(tmp_path, "edge-1", "a", [second(1)])
    write_load(tmp_path, "cloud-1", "b", [second(1)])
    notes: list[str] = []
    one, other = sorted(load.machines(load.read(RunFolder(tmp_path), notes)), key=lambda machine: -len(machine.nodes))
    assert (one.nodes, [s.at_s for s in one.samples]) == (("bs", "edge-1"), [1, 2, 3, 4])
    assert (other.nodes, other.cores, notes) == (("cloud-1",), 2, [])


@pytest.mark.parametrize(
    "content",
    [
        b"nonsense\n",
        b'{"at_s": "x"}\n',
        b"\xff\n",
        b'{"at_s": NaN}\n',
        json.dumps(second(1, cpu_percent=1e9)).encode() + b"\n",
    ],
)
def test_what_cannot_be_read_is_a_note_and_the_rest_counts(tmp_path: Path, content: bytes) -> None:
    write_load(tmp_path, "bs", "a", [second(1)])
    (tmp_path / "load" / "bs" / "2.jsonl").write_bytes(content)
    notes: list[str] = []
    (machine,) = load.machines(load.read(RunFolder(tmp_path), notes))
    assert len(machine.samples) == 1
    assert re.fullmatch(r"load/bs/2.jsonl is damaged and was ignored: .*", notes[0])


def test_a_line_that_was_cut_off_is_passed_over(tmp_path: Path) -> None:
    write_load(tmp_path, "bs", "a", [second(1)])
    with (tmp_path / "load" / "bs" / "1.jsonl").open("a") as file:
        file.write('{"at_s": 2, "cpu')
    notes: list[str] = []
    assert len(load.machines(load.read(RunFolder(tmp_path), notes))[0].samples) == 1
    assert notes == []


def test_the_report_shows_the_run_over_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "FIGURES", (("repetitions", timeline.pictures),))
    folder = write_run(tmp_path, all_records(repetitions=6))
    for node, boot in (("bs", "a"), ("edge-<b>1", "b")):
        write_load(folder, node, boot, [second(BEGUN_S + after_s, frequency_mhz=2400.0) for after_s in range(60)])
    assert main(["report", RUN, "--results", str(tmp_path)]) == 0
    report = (folder / "report.html").read_text("utf-8")
    assert "with the load of 2 machines" in report
    assert "edge-<b>1" not in report
    drawn = (folder / "figures" / "timeline.svg").read_text("utf-8")
    assert "edge-&lt;b&gt;1, 2 cores, 2.40 to 2.40 GHz" in drawn


def test_of_very_many_repetitions_the_median_and_the_range_are_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "FIGURES", (("repetitions", timeline.pictures),))
    monkeypatch.setattr(timeline, "MOST_POINTS", 10)
    monkeypatch.setattr(timeline, "POINTS", 4)
    failed = [request(repetition=number, error="reset by peer") for number in range(100, 140)]
    folder = write_run(tmp_path, [*all_records(repetitions=12), *failed])
    assert main(["report", RUN, "--results", str(tmp_path)]) == 0
    assert "Of more than 10 repetitions the line is the median" in (folder / "report.html").read_text("utf-8")
    drawn = (folder / "figures" / "timeline.svg").read_text("utf-8")
    assert drawn.count('<g id="FillBetweenPolyCollection') == 2, "the range of either scenario"
    assert drawn.count("<use xlink:href") < 40, "neither all repetitions nor all failures"


def test_without_samples_the_report_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "FIGURES", (("repetitions", timeline.pictures),))
    folder = write_run(tmp_path, all_records(repetitions=6))
    assert main(["report", RUN, "--results", str(tmp_path)]) == 0
    assert "The load of the nodes is not on record." in (folder / "report.html").read_text("utf-8")


def off(folder: Path, *problems: str | None) -> list[tuple[float, float, str]]:
    """When a node's links were off, for what it told at 100, 130, 160 … seconds; seconds in between do not tell."""
    samples = [second(100 + 30 * n, links_problem=problem) for n, problem in enumerate(problems)]
    write_load(folder, "edge-1", "b1", [*samples[:1], second(115), *samples[1:]] if problems else [second(100)])
    write_load(folder, "edge-2", "b1", [second(100, links_problem=None)])
    found = load.links_off(load.read(RunFolder(folder), []))
    assert {one.node for one in found} <= {"edge-1"}
    return [(one.from_s, one.until_s, one.problem) for one in found]


def test_links_were_off_from_when_they_were_last_seen_good_until_they_were_next(tmp_path: Path) -> None:
    assert off(tmp_path) == []
    assert off(tmp_path, None, None) == []
    assert off(tmp_path, None, "gone", "killed", None, None) == [(99, 191, "gone")]
    assert off(tmp_path, "gone", None, "killed") == [(-inf, 131, "gone"), (129, inf, "killed")]


def test_links_of_a_node_that_was_lost_are_unknown_until_it_tells_again(tmp_path: Path) -> None:
    lost = "the node was lost, and nobody knows what became of them"
    write_load(tmp_path, "edge-1", "b1", [second(100, links_problem=None), second(101)])
    assert [(one.from_s, one.until_s, one.problem) for one in load.links_off(load.read(RunFolder(tmp_path), []))] == [
        (99, inf, lost)
    ]
    write_load(tmp_path, "edge-1", "b1", [second(200, links_problem=None), second(230, links_problem=None)], "2.jsonl")
    assert [(one.from_s, one.until_s) for one in load.links_off(load.read(RunFolder(tmp_path), []))] == [(99, 201)]


def test_a_repetition_over_links_that_a_node_found_off_is_a_failure(tmp_path: Path) -> None:
    begun_s = {number: BEGUN_S + 100 * number for number in range(1, 5)}
    drawn: list[Record] = []
    for number, at_s in begun_s.items():
        begun_at = datetime.fromtimestamp(at_s, UTC).isoformat()
        drawn += request(repetition=number, started_at=begun_at), model(repetition=number)
    folder = write_run(tmp_path, drawn)
    told = {begun_s[1] + 50: None, begun_s[2]: "gone", begun_s[2] + 50: None}
    write_load(folder, "edge-1", "b1", [second(at_s, links_problem=problem) for at_s, problem in told.items()])
    measured = run.load(RunFolder(folder)).measurements
    assert [one.repetition for one in measured.finished] == [1, 3, 4]
    (failure,) = (one for one in measured.failures if not one.warmup)
    assert (failure.repetition, failure.error) == (2, "the links that leave edge-1 were not in force: gone")
