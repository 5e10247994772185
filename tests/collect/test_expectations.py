"""Thresholds of a scenario file: which are met, and the exit code."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from generated_run import RUN, all_records, write_run
from msgspec.structs import replace

from collect.__main__ import main
from collect.exit_codes import KNOWN_ERROR, REFUSED, UNMET
from collect.records import ModelRecord, Quality, RequestRecord

if TYPE_CHECKING:
    from pathlib import Path

    from collect import records


def analysed(tmp_path: Path, capsys: pytest.CaptureFixture[str], **manifest: Any) -> tuple[int, str]:
    """Exit code and output of ``analyse`` on a generated run with this manifest."""
    folder = write_run(tmp_path, all_records())
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    code = main(["analyse", RUN, "--results", str(tmp_path)])
    captured = capsys.readouterr()
    return code, captured.out + captured.err


@pytest.mark.parametrize(
    ("expect", "sentence"),
    [
        ({"max_failed_percent": 0}, "met: 0 of 20 repetitions of edge failed (0 %; at most 0 %)."),
        ({"max_time_ratio": {"edge": 0.5}}, "met: The response time of edge is typically 0.3"),
        ({"min_accuracy": {"edge": 0.5, "cloud": 0.5}}, "met: The median test accuracy of cloud is 0."),
        ({"min_quality": {"edge": {"test accuracy": 0.5}}}, "met: The median test accuracy of edge is 0."),
        ({"max_quality": {"edge": {"test accuracy": 0.99}}}, "met: The median test accuracy of edge is 0."),
        ({"claims": {"edge": ["same-accuracy"]}}, "met: Claim same-accuracy of edge: holds."),
    ],
)
def test_met_thresholds_are_printed_and_the_exit_code_is_0(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], expect: dict[str, Any], sentence: str
) -> None:
    code, output = analysed(tmp_path, capsys, expect=expect)
    assert (code, "NOT MET" in output) == (0, False), output
    assert sentence in output


@pytest.mark.parametrize(
    ("expect", "sentence"),
    [
        ({"max_time_ratio": {"edge": 0.2}}, "NOT MET: The response time of edge is typically 0.3"),
        ({"max_time_ratio": {"cloud": 2}}, "NOT MET: cloud could not be compared with a reference"),
        ({"min_accuracy": {"edge": 0.99}}, "NOT MET: The median test accuracy of edge is 0."),
        ({"min_accuracy": {"fog": 0.5}}, "NOT MET: fog has no test accuracy"),
        ({"min_quality": {"edge": {"test accuracy": 0.99}}}, "NOT MET: The median test accuracy of edge is 0."),
        ({"max_quality": {"edge": {"test accuracy": 0.5}}}, "NOT MET: The median test accuracy of edge is 0."),
        ({"min_quality": {"edge": {"score": 0.5}}}, "NOT MET: edge has no score (at least 0.5)."),
        ({"claims": {"edge": ["at-times-slower"]}}, "NOT MET: Claim at-times-slower of edge: undecided."),
        ({"claims": {"edge": ["faster"]}}, "NOT MET: Claim faster of edge: does not hold."),
        ({"claims": {"fog": ["faster"]}}, "NOT MET: fog could not be compared"),
    ],
)
def test_a_threshold_that_is_not_met_makes_the_exit_code_3(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], expect: dict[str, Any], sentence: str
) -> None:
    code, output = analysed(tmp_path, capsys, expect=expect)
    assert code == UNMET
    assert sentence in output


def test_failures_are_counted_against_all_repetitions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = [
        replace(record, error="no reply")
        if record.scenario == "edge" and record.repetition in (1, 2) and not record.warmup
        else record
        for record in all_records()
    ]
    folder = write_run(tmp_path, kept)
    (folder / "manifest.json").write_text(json.dumps({"expect": {"max_failed_percent": 5}}), encoding="utf-8")
    assert main(["analyse", RUN, "--results", str(tmp_path)]) == UNMET
    assert "NOT MET: 2 of 20 repetitions of edge failed (10 %; at most 5 %)." in capsys.readouterr().out


@pytest.mark.parametrize(
    "expect", [{"max_failed_percent": "few"}, {"max_fails": 1}, ["faster"], {"claims": {"edge": ["no"]}}]
)
def test_damaged_thresholds_are_an_error_and_never_pass(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], expect: object
) -> None:
    code, output = analysed(tmp_path, capsys, expect=expect)
    assert code == KNOWN_ERROR
    assert "manifest.json: expect" in output


def test_a_refused_run_is_refused_whatever_it_meets(tmp_path: Path) -> None:
    folder = write_run(tmp_path, all_records())
    links = json.loads((folder / "links" / "after.json").read_text("utf-8"))
    links["links"][0].update(ok=False, problems=["delay 30 ms, expected 15 ms"])
    (folder / "links" / "after.json").write_text(json.dumps(links), encoding="utf-8")
    (folder / "manifest.json").write_text(json.dumps({"expect": {"max_failed_percent": 0}}), encoding="utf-8")
    assert main(["analyse", RUN, "--results", str(tmp_path)]) == REFUSED


@pytest.mark.usefixtures("no_figures")
def test_the_report_shows_what_is_not_met_beside_the_headline(tmp_path: Path) -> None:
    folder = write_run(tmp_path, all_records(repetitions=6))
    expect = {"min_accuracy": {"edge": 0.99}, "max_failed_percent": 0}
    (folder / "manifest.json").write_text(json.dumps({"expect": expect}), encoding="utf-8")
    assert main(["report", RUN, "--results", str(tmp_path)]) == UNMET
    header, _, rest = (folder / "report.html").read_text("utf-8").partition("</header>")
    assert "Expected, not met:" in header
    assert "repetitions of cloud failed" not in header
    assert "Met: 0 of 6 repetitions of cloud failed" in rest


def test_a_plan_that_was_not_measured_to_its_end_is_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = {"plan": {"repetitions": 30}, "scenarios": ["edge", "cloud", "fog"]}
    code, output = analysed(tmp_path, capsys, **plan)
    assert code == 0
    assert (
        "warning: The run is incomplete: of its planned repetitions, 20 of 30 of edge and 20 of 30 of cloud and 0 of "
        "30 of fog are on record." in output
    )
    _, output = analysed(tmp_path / "whole", capsys, plan={"repetitions": 20}, scenarios=["edge", "cloud"])
    assert "incomplete" not in output


def test_a_claim_that_is_expected_the_other_way_round_is_not_met_for_that_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_run(tmp_path, all_records(repetitions=6))
    (folder / "manifest.json").write_text(json.dumps({"expect": {"claims": {"cloud": ["faster"]}}}), encoding="utf-8")
    assert main(["analyse", RUN, "--results", str(tmp_path), "--reference", "edge"]) == UNMET
    output = capsys.readouterr().out
    assert "NOT MET: Claim faster of cloud: not judged, because the paper's claims compare its edge" in output
    assert "about 25 % lower" not in output


@pytest.mark.parametrize("named", [["one", "another"], "one", [1, {"another": 2}]])
def test_scenarios_are_compared_in_the_order_of_their_file_where_it_is_known(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], named: Any
) -> None:
    folder = write_run(tmp_path, all_records(("another", "one")))
    (folder / "manifest.json").write_text(json.dumps({"scenarios": named}), encoding="utf-8")
    assert main(["analyse", RUN, "--results", str(tmp_path)]) == 0
    subject, reference = ("one", "another") if named == ["one", "another"] else ("another", "one")
    assert re.search(rf"response time of {subject} .* than that of {reference}", capsys.readouterr().out)


def test_a_measure_of_the_replies_is_judged_by_its_median(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines: list[records.Record] = []
    for record in all_records():
        value = {"edge": 0.7, "cloud": 0.9}[record.scenario] + record.repetition / 1000
        score = Quality(measure="error rate", unit="%", better="lower", value=value)
        if isinstance(record, ModelRecord):
            lines.append(replace(record, qualities=(score,)))
        else:
            assert isinstance(record, RequestRecord)
            lines.append(replace(record, qualities={"error rate": value}))
    folder = write_run(tmp_path, lines)
    expect = {
        "max_quality": {"edge": {"error rate": 0.8}, "cloud": {"error rate": 0.8}},
        "min_quality": {"cloud": {"error rate": 0.1, "recall": 0.5}},
    }
    (folder / "manifest.json").write_text(json.dumps({"expect": expect}), encoding="utf-8")
    assert main(["analyse", RUN, "--results", str(tmp_path)]) == UNMET
    output = " ".join(capsys.readouterr().out.split())
    for sentence in (
        " met: The median error rate of cloud is 0.9105 (at least 0.1).",
        "NOT MET: cloud has no recall (at least 0.5).",
        " met: The median error rate of edge is 0.7105 (at most 0.8).",
        "NOT MET: The median error rate of cloud is 0.9105 (at most 0.8).",
    ):
        assert sentence in output, output
