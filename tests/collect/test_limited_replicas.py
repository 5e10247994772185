"""What is read of two calibrations of limited replicas."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING

import pytest
from generated_run import RUN, all_records, write_run
from pydantic import ValidationError

from collect.__main__ import main
from collect.analysis import summary
from collect.analysis.wording import NOTHING
from collect.exit_codes import REFUSED
from collect.folder import RunFolder
from collect.report.page import render
from collect.resources import Part, ResourceReport, ended, limited, problems
from collect.run import load

if TYPE_CHECKING:
    from pathlib import Path


def report(share: float, begin: int, end: int, cpus: float = 0.5) -> ResourceReport:
    """A calibration of one replica; it was stopped in every second period, for 40 ms each."""
    counters = [{"periods": n, "throttled": n // 2, "throttled_us": n // 2 * 40_000} for n in (begin, end)]
    one = {"service": "slow", "cpus": cpus, "share": share, "begin": counters[0], "end": counters[1]}
    return ResourceReport.model_validate({"schema": 1, "tolerance_percent": 10, "nodes": {"edge-1": [one]}})


def test_what_the_kernel_counted_is_that_between_the_calibrations() -> None:
    (one,) = limited([Part(1, report(0.51, 0, 40), report(0.49, 140, 180))])
    assert (one.node, one.service, one.cpus_before, one.cpus_after, one.is_off) == ("edge-1", "slow", 0.51, 0.49, False)
    assert one.throttled_percent == 50
    assert one.throttled_s == pytest.approx(2)


def test_one_that_is_off_is_marked_at_either_end() -> None:
    assert limited([Part(1, report(0.5, 0, 40), report(0.44, 140, 180))])[0].is_off
    assert limited([Part(1, report(0.56, 0, 40), None)])[0].is_off


def test_counters_that_began_anew_and_a_calibration_that_is_missing_say_nothing() -> None:
    for after in (report(0.5, 10, 50), None):
        (one,) = limited([Part(1, report(0.5, 0, 40), after)])
        assert (one.throttled_percent, one.throttled_s) == (None, None)
    assert limited([Part(1, None, None)]) == ()


def test_parts_of_a_resumed_run_are_told_apart() -> None:
    cut_off, whole = Part(1, report(0.51, 0, 40), None), Part(2, report(0.5, 140, 180), report(0.5, 240, 280))
    first, second = limited([cut_off, whole])
    assert (first.part, first.cpus_before, first.cpus_after, first.throttled_percent) == (1, 0.51, None, None)
    assert (second.part, second.cpus_before, second.cpus_after, second.throttled_percent) == (2, 0.5, 0.5, 50)


GOOD, OFF = report(0.5, 0, 40), report(0.44, 0, 40)
BEFORE, AFTER = (
    f"The calibration {moment} measuring found 1 of 1 limited replicas off their CPUs (slow on edge-1 had 0.440 of 0.5 CPUs)."
    for moment in ("before", "after")
)


@pytest.mark.parametrize(
    ("parts", "sentences"),
    [
        ([(GOOD, GOOD)], []),
        ([(OFF, None), (GOOD, GOOD)], []),  # nothing was measured by then
        ([(GOOD, OFF)], [AFTER]),
        ([(GOOD, OFF), (GOOD, GOOD)], [AFTER]),
        ([(GOOD, None), (OFF, None), (GOOD, GOOD)], [BEFORE]),
        ([(GOOD, None), (None, OFF)], [AFTER]),
    ],
)
def test_a_calibration_that_was_off_refuses_what_was_measured_before_it(
    parts: list[tuple[ResourceReport | None, ResourceReport | None]], sentences: list[str]
) -> None:
    assert list(problems(Part(number, *part) for number, part in enumerate(parts, 1))) == sentences


def keep(folder: Path, **reports: ResourceReport) -> None:
    (folder / "resources").mkdir(exist_ok=True)
    for name, measured in reports.items():
        content = json.dumps(measured.model_dump(by_alias=True))
        (folder / "resources" / f"{name.replace('_', '-')}.json").write_text(content)


def test_a_resumed_run_whose_replica_was_off_in_an_earlier_part_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_run(tmp_path, all_records())
    keep(folder, before_1=GOOD, after_1=OFF, before=GOOD, after=GOOD)
    assert main(["analyse", "--results", str(tmp_path)]) == REFUSED
    assert f"Refused: {AFTER}" in " ".join(capsys.readouterr().out.split())


def test_cpus_of_nothing_are_refused() -> None:
    with pytest.raises(ValidationError, match="greater than 0"):
        report(0.5, 0, 40, cpus=0)


def test_the_report_has_them_as_a_table_and_others_have_none(tmp_path: Path) -> None:
    folder = write_run(tmp_path, all_records())
    for is_limited in (False, True):
        if is_limited:
            keep(folder, before=report(0.51, 0, 40), after=report(0.44, 140, 180))
        run = load(RunFolder(folder))
        page = " ".join(render(run, summary.analyse(RUN, run.measurements), {}).split())
        row = '<th scope="row">slow on edge-1</th><td class="number">0.5</td> <td class="number">0.510</td>'
        assert (row in page) == is_limited
        assert ("CPUs by a fixed kind of work" in page) == is_limited
    assert (
        '<td class="number">0.440</td> <td><span class="problem">off</span></td> <td class="number">50.0</td>' in page
    )


def test_the_report_names_the_parts_of_a_resumed_run_whatever_their_number(tmp_path: Path) -> None:
    folder = write_run(tmp_path, all_records())
    parts = {f"before_{number}": report(0.5 + number / 1000, 0, 40) for number in range(1, 11)}
    keep(folder, **parts, before=GOOD, after=GOOD)
    run = load(RunFolder(folder))
    page = " ".join(render(run, summary.analyse(RUN, run.measurements), {}).split())
    shown = [page.index(f'<th scope="row">slow on edge-1, part {number}</th>') for number in range(1, 12)]
    assert shown == sorted(shown)
    assert f'<td class="number">0.510</td> <td class="number">{NOTHING}</td>' in page


def test_the_export_has_them_part_by_part(tmp_path: Path) -> None:
    folder = write_run(tmp_path, all_records())
    keep(folder, before_1=report(0.51, 0, 40), before=GOOD, after=report(0.44, 140, 180))
    assert main(["export", RUN, "--results", str(tmp_path)]) == REFUSED
    with (folder / "export" / "resources.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    own = {"node": "edge-1", "service": "slow", "cpus": "0.5", "memory_mib": "", "oom_kills": ""}
    assert rows == [
        {**own, "part": "1", "cpus_before": "0.51", "cpus_after": "", "ok": "true"}
        | {"throttled_percent": "", "throttled_s": ""},
        {**own, "part": "2", "cpus_before": "0.5", "cpus_after": "0.44", "ok": "false"}
        | {"throttled_percent": "50.0", "throttled_s": "2.0"},
    ]


def in_memory(oom_kills: int, cpus: float | None = None) -> ResourceReport:
    """What was counted of a replica that is limited in memory, as on a node where it has been used up before."""
    counters = {"oom_kills": oom_kills}
    one = {"service": "small", "cpus": cpus, "memory_mib": 512, "share": None, "begin": counters, "end": counters}
    return ResourceReport.model_validate({"schema": 1, "tolerance_percent": 10, "nodes": {"edge-1": [one]}})


@pytest.mark.parametrize(
    ("before", "after", "kills"),
    [(in_memory(1), in_memory(4), 3), (in_memory(2), in_memory(2), 0), (in_memory(2), in_memory(1), None)],
)
def test_replicas_that_the_kernel_ended_are_counted(
    before: ResourceReport, after: ResourceReport, kills: int | None
) -> None:
    parts = [Part(1, before, after)]
    (one,) = limited(parts)
    assert (one.cpus, one.memory_mib, one.is_off, one.throttled_percent, one.oom_kills) == (
        None,
        512,
        False,
        None,
        kills,
    )
    assert list(problems(parts)) == []
    sentence = (
        "The kernel ended replicas while the run measured, because they needed more memory than the scenario's resources "
        "give them: small on edge-1 3 times (512 MiB). The requests that they served failed."
    )
    assert list(ended(parts)) == ([sentence] if kills else [])


def test_the_report_and_the_export_count_them_and_warn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_run(tmp_path, all_records())
    keep(folder, before=in_memory(0), after=in_memory(1))
    assert main(["analyse", "--results", str(tmp_path)]) == 0
    assert "small on edge-1 1 time (512 MiB)." in " ".join(capsys.readouterr().out.split())
    run = load(RunFolder(folder))
    page = " ".join(render(run, summary.analyse(RUN, run.measurements), {}).split())
    assert '<td class="number">512</td> <td class="number">1</td></tr>' in page
    assert main(["export", RUN, "--results", str(tmp_path)]) == 0
    with (folder / "export" / "resources.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["memory_mib"], row["oom_kills"], row["ok"], row["cpus"]) == ("512", "1", "true", "")
