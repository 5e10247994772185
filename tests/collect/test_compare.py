"""``python -m collect compare`` as a user meets it: what it pools, what it leaves out, and what it says of both."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from generated_run import MANIFEST, all_records, write_run

from collect.__main__ import main
from collect.records import ModelRecord

if TYPE_CHECKING:
    from pathlib import Path

SCENARIO = """name: paper
repetitions: {repetitions}
scenarios:
- name: edge
  links:
  - delay_ms: {delay}
"""
DATASET = {"source": "synthetic corpus, seed 1", "sha256": "ab" * 32}


def a_run(
    results: Path,
    name: str,
    seed: int,
    *,
    delay: float = 1.25,
    repetitions: int = 8,
    trouble: bool = False,
    failing: int = 0,
    own: str | None = None,
    block_of: int = 1,
    scenarios: tuple[str, ...] = ("edge", "cloud"),
    **manifest: Any,
) -> Path:
    """Write a run of its own numbers; the first ``failing`` repetitions of its edge failed."""
    lines = [
        msgspec.structs.replace(one, run=own or name)
        for one in all_records(scenarios=scenarios, repetitions=repetitions, seed=seed)
    ]
    if block_of > 1:
        lines = [
            msgspec.structs.replace(one, block=2 * ((one.repetition - 1) // block_of) + (one.scenario == "cloud"))
            for one in lines
            if not one.warmup
        ]
    for place, one in enumerate(lines):
        fails = one.scenario == "edge" and 1 <= one.repetition <= failing
        if fails and isinstance(one, ModelRecord):
            lines[place] = msgspec.structs.replace(one, error="timed out", response_time_ms=None)
    folder = write_run(results, lines, name, trouble=trouble)
    (folder / "scenario.yaml").write_text(SCENARIO.format(repetitions=repetitions, delay=delay))
    written = {**MANIFEST, "run": own or name, "dataset": DATASET, "seed": seed, **manifest}
    (folder / "manifest.json").write_text(json.dumps(written))
    return folder


def compared(results: Path, *names: str) -> dict[str, Any]:
    """Compare runs and return what was written."""
    file = results / "comparison.json"
    assert main(["compare", *names, "--results", str(results), "--json", str(file)]) == 0
    written: dict[str, Any] = json.loads(file.read_text())
    return written


def test_three_runs_of_the_same_give_one_ratio_and_say_what_varies_and_what_is_needed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in (1, 2, 3):
        a_run(tmp_path, f"run-{number}", number)
    written = compared(tmp_path, "run-1", "run-2", "run-3")
    output = capsys.readouterr().out
    lines = output.splitlines()
    (over,) = written["comparisons"]
    ratios = [one["ratio"]["value"] for one in over["runs"]]
    assert over["ratio"] == pytest.approx((ratios[0] * ratios[1] * ratios[2]) ** (1 / 3))
    assert over["student"]["low"] < over["bootstrap"]["low"] < over["ratio"] < over["bootstrap"]["high"]
    assert [need["points"] for need in over["needs"]] == [10, 5, 2]
    assert "hierarchical bootstrap: runs, then pairs" in output
    assert "runs of 8 repetitions" in output
    assert lines[-1].startswith("Over 3 runs the response time of edge was typically 59 % lower")
    assert lines[-1].endswith("; 24 pairs).")
    assert not any(line.startswith(("difference", "left out", "warning")) for line in lines)


def test_the_same_runs_give_the_same_bytes(tmp_path: Path) -> None:
    a_run(tmp_path, "run-1", 1)
    a_run(tmp_path, "run-2", 2)
    compared(tmp_path, "run-1", "run-2")
    first = (tmp_path / "comparison.json").read_bytes()
    compared(tmp_path, "run-1", "run-2")
    assert (tmp_path / "comparison.json").read_bytes() == first


def test_of_two_runs_it_is_said_that_their_variation_is_barely_known(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a_run(tmp_path, "run-1", 1)
    a_run(tmp_path, "run-2", 2)
    compared(tmp_path, "run-1", "run-2")
    assert "How much runs differ is barely known from two" in capsys.readouterr().out.splitlines()[-1]


def test_a_refused_run_and_one_without_results_are_left_out_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a_run(tmp_path, "run-1", 1)
    a_run(tmp_path, "run-2", 2)
    a_run(tmp_path, "off", 3, trouble=True)
    a_run(tmp_path, "failed", 4, failing=8, scenarios=("edge",))
    written = compared(tmp_path, "run-1", "off", "failed", "run-2")
    output = capsys.readouterr().out
    assert written["runs"] == ["run-1", "run-2"]
    assert "left out: off: it is refused: The verification after measuring found 1 of 8 links off" in output
    assert "left out: failed: no repetition of failed has finished" in output
    assert "2 runs of 4 left out." in output.splitlines()[-1]


def test_one_run_that_is_left_is_no_comparison(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a_run(tmp_path, "run-1", 1)
    a_run(tmp_path, "off", 3, trouble=True)
    a_run(tmp_path, "alone", 4, scenarios=("edge",))
    for names, reason in (
        (["run-1"], "at least 2 runs are required to compare runs\n"),
        (["run-1", "off"], "off was left out: it is refused"),
        (["run-1", "alone"], "alone was left out: it has no finished repetition of cloud"),
        (["run-1", "run-1"], "run-1 is named twice"),
    ):
        assert main(["compare", *names, "--results", str(tmp_path)]) == 2
        assert reason in capsys.readouterr().err


def test_a_copy_of_a_run_is_no_second_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a_run(tmp_path, "run-1", 1)
    a_run(tmp_path, "copy", 1, own="run-1")
    a_run(tmp_path, "renamed", 1)
    for other in ("copy", "renamed"):
        assert main(["compare", "run-1", other, "--results", str(tmp_path)]) == 2
        assert f"run-1 and {other} hold records of the same run" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"inventory": "vm"}, "The runs differ in inventory: local (run-1); vm (run-2)."),
        (
            {"dataset": {"source": "news.csv", "sha256": "cd" * 32}},
            "The runs differ in data set: synthetic corpus, seed 1 (sha256 abababab) (run-1); news.csv (sha256 cdcdcdcd)",
        ),
        (
            {"delay": 15},
            "The runs differ in their scenarios: run-1 and run-2 in '- delay_ms: 1.25' and '- delay_ms: 15'.",
        ),
        ({"nodes": {"bs": {"cpu": "Other"}}}, "The runs differ in processors: unknown (run-1); Other (run-2)."),
        ({"commit": "abc"}, "The runs differ in the commit of faasbed: unknown (run-1); abc (run-2)."),
        ({"dataset": "nonsense", "nodes": 3}, "The runs differ in data set: synthetic corpus, seed 1"),
    ],
)
def test_runs_that_are_not_of_the_same_are_not_pooled_silently(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: dict[str, Any], sentence: str
) -> None:
    a_run(tmp_path, "run-1", 1)
    a_run(tmp_path, "run-2", 2, **change)
    written = compared(tmp_path, "run-1", "run-2")
    output = capsys.readouterr().out
    assert f"difference: {sentence}" in output
    assert "These are not runs of the same, see the differences above" in output.splitlines()[-1]
    assert written["differences"]


def test_runs_that_differ_in_their_length_only_are_of_the_same(tmp_path: Path) -> None:
    a_run(tmp_path, "run-1", 1, repetitions=8)
    a_run(tmp_path, "run-2", 2, repetitions=10)
    assert compared(tmp_path, "run-1", "run-2")["differences"] == []


def test_the_same_splits_failures_and_what_was_not_measured_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a_run(tmp_path, "run-1", 1, failing=1)
    a_run(tmp_path, "run-2", 2)
    planned = {"plan": {"repetitions": 9}, "scenarios": ["edge", "cloud"]}
    for name, changes in (("run-1", planned), ("run-2", {"seed": 1})):
        manifest = tmp_path / name / "manifest.json"
        manifest.write_text(json.dumps({**json.loads(manifest.read_text()), **changes}))
    compared(tmp_path, "run-1", "run-2")
    output = capsys.readouterr().out
    assert "warning: run-1, run-2 have seed 1 and so the same splits of the data" in output
    assert "warning: run-1: The run is incomplete: of its planned repetitions, 8 of 9 of edge" in output
    assert "warning: run-1: 1 of 8 repetitions of edge failed, more than 10 %: its ratio" in output


def test_a_scenario_that_only_some_runs_have_rests_on_these(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a_run(tmp_path, "run-1", 1, scenarios=("edge", "metro", "cloud"))
    a_run(tmp_path, "run-2", 2, scenarios=("edge", "metro", "cloud"))
    a_run(tmp_path, "run-3", 3)
    a_run(tmp_path, "run-4", 4, scenarios=("edge", "far", "cloud"))
    written = compared(tmp_path, "run-1", "run-2", "run-3", "run-4")
    assert [(over["subject"], len(over["runs"])) for over in written["comparisons"]] == [("edge", 4), ("metro", 2)]
    output = capsys.readouterr().out
    assert "warning: metro is not in run-3, run-4, so its comparison rests on 2 runs." in output
    assert "warning: far is not compared: fewer than 2 runs have pairs of it." in output


def test_another_reference_can_be_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a_run(tmp_path, "run-1", 1)
    a_run(tmp_path, "run-2", 2)
    results = ["--results", str(tmp_path)]
    assert main(["compare", "run-1", "run-2", "--reference", "edge", *results]) == 0
    assert "the response time of cloud was typically 1" in capsys.readouterr().out
    assert main(["compare", "run-1", "run-2", "--reference", "moon", *results]) == 2
    assert (
        "Scenario 'moon' has no finished repetition in any run. Expected one of: edge, cloud."
        in capsys.readouterr().err
    )


def test_runs_in_blocks_are_drawn_by_rounds_and_have_a_variation_between_blocks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a_run(tmp_path, "run-1", 1, repetitions=20, block_of=5)
    a_run(tmp_path, "run-2", 2, repetitions=20, block_of=5)
    (over,) = compared(tmp_path, "run-1", "run-2")["comparisons"]
    assert [one["rounds"] for one in over["runs"]] == [4, 4]
    assert over["ratio_variation"]["repetitions_per_block"] == 5
    output = capsys.readouterr().out
    assert "hierarchical bootstrap: runs, then rounds of blocks" in output
    assert "blocks of one" not in output


def test_a_name_from_a_manifest_is_shown_as_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a_run(tmp_path, "run-1", 1, commit="[bold]\x1b[2J" + "x" * 500)
    a_run(tmp_path, "run-2", 2)
    compared(tmp_path, "run-1", "run-2")
    output = capsys.readouterr().out
    assert "[bold]\N{REPLACEMENT CHARACTER}[2J" in output
    assert "\x1b" not in output
    assert "x" * 100 not in output
