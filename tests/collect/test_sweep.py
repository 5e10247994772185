"""A sweep: its points are compared at equal values, and where two scenarios cross along an axis is told with its interval."""

from __future__ import annotations

import json
from itertools import product
from random import Random
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from generated_run import MANIFEST, RUN, model, request, write_run

from collect.__main__ import main
from collect.analysis.quality import TEST_ACCURACY
from collect.analysis.repetitions import Measurements, Repetition
from collect.analysis.summary import Analysis, analyse
from collect.analysis.sweep import sweeping
from collect.sweep import Axis, Point, Sweep

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from collect.analysis.sweep import Line
    from collect.records import Record

DELAYS, SHARES = (2, 10, 30), (0.1, 0.4)


def repetition(scenario: str, number: int, response_s: float, **changes: Any) -> Repetition:
    values: dict[str, Any] = {
        "scenario": scenario,
        "base_station": "bs",
        "repetition": number,
        "block": number,
        "attempt": 1,
        "response_s": response_s,
        "qualities": ((TEST_ACCURACY, 0.9),),
        "fit_s": 0.01,
        "requests": (request(scenario=scenario, repetition=number),),
        "chosen_request": 0,
        "training_texts": 100,
        "test_texts": 20,
        "started_at": f"2026-11-24T04:00:{number % 60:02d}+00:00",
        **changes,
    }
    return Repetition(**values)


def two_axes() -> Sweep:
    """Edge has the share only, as its links stand still; cloud has both axes."""
    points = {f"edge-s{number}": Point(of="edge", values={"share": share}) for number, share in enumerate(SHARES)}
    for delay, (number, share) in product(DELAYS, enumerate(SHARES)):
        points[f"cloud-d{delay}-s{number}"] = Point(of="cloud", values={"delay_ms": delay, "share": share})
    return Sweep(axes=(Axis(name="delay_ms", values=DELAYS), Axis(name="share", values=SHARES)), points=points)


def measured(
    sweep: Sweep,
    time_s: Callable[[str, dict[str, Any]], float],
    *,
    noise: float = 0.02,
    repetitions: int = 10,
    seed: int = 1,
) -> dict[str, tuple[Repetition, ...]]:
    """The repetitions of a sweep whose times are known, save for noise of each one and what they share."""
    random = Random(seed)
    shared = [random.gauss(0, 0.1) for _ in range(repetitions)]
    return {
        name: tuple(
            repetition(
                name, number, time_s(point.of, dict(point.values)) * np.exp(shared[number] + random.gauss(0, noise))
            )
            for number in range(repetitions)
        )
        for name, point in sweep.points.items()
    }


def swept(sweep: Sweep, time_s: Callable[[str, dict[str, Any]], float], **changes: Any) -> Analysis:
    return analyse(RUN, Measurements(measured(sweep, time_s, **changes), (), 0), sweep=sweep)


def crossing_at_ten_times_the_share(of: str, values: dict[str, Any]) -> float:
    """Cloud takes as long as edge at a delay of 100 times the share: 10 ms and 40 ms."""
    return float(1 + values["share"] if of == "edge" else 1 + values["delay_ms"] / 100)


def lines_of(analysis: Analysis, axis: str) -> list[Line]:
    assert analysis.sweep is not None
    return [line for line in analysis.sweep.lines if line.axis == axis]


def test_points_are_compared_at_equal_values_and_the_rest_is_said_to_be_left_out() -> None:
    analysis = swept(two_axes(), crossing_at_ten_times_the_share)
    assert analysis.sweep is not None
    assert analysis.comparisons == ()
    compared = [(one.subject, one.reference) for one in analysis.sweep.comparisons]
    assert sorted(compared) == sorted(
        (f"edge-s{number}", f"cloud-d{delay}-s{number}") for delay in DELAYS for number in range(len(SHARES))
    )
    assert analysis.sweep.left_out.startswith(
        "6 pairs of points with equal values on the axes are compared; the other 22 are"
    )
    assert [scenario.name for scenario in analysis.scenarios] == list(two_axes().points)


def test_a_crossing_is_found_with_its_interval_and_who_takes_longer_beyond_it() -> None:
    analysis = swept(two_axes(), crossing_at_ten_times_the_share)
    near, far = lines_of(analysis, "delay_ms")
    (crossing,) = near.crossings or ()
    assert crossing.at == pytest.approx(10, abs=2)
    assert crossing.low is not None
    assert crossing.high is not None
    assert crossing.low < (crossing.at or 0) < crossing.high
    assert near.sentence.startswith("With share 0.1, edge and cloud take equally long at delay_ms ")
    assert near.sentence.endswith("above it cloud takes longer.")
    assert far.crossings == ()
    assert far.sentence.startswith(
        "With share 0.4, edge takes longer at each delay_ms measured from 2 to 30 (typical ratio of edge to cloud: "
    )
    assert far.sentence.endswith("they do not cross within the axis.")
    assert analysis.headline.startswith("Along delay_ms, edge and cloud take equally long at ")
    assert "nowhere from 2 to 30 with share 0.4, where edge takes longer" in analysis.headline


def test_at_the_values_themselves_the_ratio_is_that_of_the_pairs() -> None:
    analysis = swept(two_axes(), crossing_at_ten_times_the_share)
    assert analysis.sweep is not None
    by_points = {(one.subject, one.reference): one.ratio for one in analysis.sweep.comparisons}
    for number, line in enumerate(lines_of(analysis, "delay_ms")):
        for delay, ratio in zip(line.places, line.ratios, strict=True):
            assert ratio == by_points[f"edge-s{number}", f"cloud-d{delay}-s{number}"]


def test_times_that_are_straight_between_two_values_cross_where_they_are_equal() -> None:
    """Without noise the crossing is exact, though the logarithm of the ratio is curved."""
    analysis = swept(two_axes(), lambda of, values: 2.0 if of == "edge" else 1 + values["delay_ms"] / 17, noise=0)
    for line in lines_of(analysis, "delay_ms"):
        (crossing,) = line.crossings or ()
        assert crossing.at == pytest.approx(17, rel=1e-6)


def test_an_interval_that_reaches_the_end_of_the_axis_is_told_as_unbounded() -> None:
    analysis = swept(two_axes(), lambda of, values: 1.31 if of == "edge" else 1 + values["delay_ms"] / 98, noise=0.08)
    for line in lines_of(analysis, "delay_ms"):
        assert any(one.high is None and one.has_interval for one in line.crossings or ()), line
        assert "not bounded within the axis, which ends at 30" in line.sentence or "is not decided" in line.sentence


def test_alike_everywhere_is_not_a_crossing_that_is_known() -> None:
    analysis = swept(two_axes(), lambda *_: 1.0, noise=0.05)
    for line in lines_of(analysis, "delay_ms"):
        assert line.crossings
        assert "not known" in line.sentence or "not decided" in line.sentence or "not bounded" in line.sentence
        assert "they do not cross" not in line.sentence


def test_too_few_repetitions_have_a_crossing_without_an_interval() -> None:
    analysis = swept(two_axes(), crossing_at_ten_times_the_share, repetitions=5)
    near, far = lines_of(analysis, "delay_ms")
    assert "(no interval: 5 repetitions, at least 6 required)" in near.sentence
    assert far.sentence.endswith("that has no interval: 5 repetitions, at least 6 required.")


def test_an_axis_of_words_has_points_but_no_crossing() -> None:
    sweep = Sweep(
        axes=(Axis(name="model", values=("pac", "mnb")),),
        points={
            f"{of}-{model}": Point(of=of, values={"model": model})
            for of in ("edge", "cloud")
            for model in ("pac", "mnb")
        },
    )
    analysis = swept(sweep, lambda of, _: 1.0 if of == "edge" else 2.0)
    (line,) = lines_of(analysis, "model")
    assert (line.crossings, line.sentence, len(line.ratios)) == (None, "", 2)
    assert analysis.headline == (
        "Of 2 pairs of points at equal values, the first takes less time in 2 and more in 0; in 0 it is not decided."
    )


def test_one_scenario_alone_is_told_by_its_fastest_and_slowest_point() -> None:
    sweep = Sweep(
        axes=(Axis(name="delay_ms", values=DELAYS),),
        points={f"edge-d{delay}": Point(of="edge", values={"delay_ms": delay}) for delay in DELAYS},
    )
    analysis = swept(sweep, lambda _, values: values["delay_ms"], noise=0)
    assert analysis.sweep is not None
    assert (analysis.sweep.reference, analysis.sweep.lines) == (None, ())
    assert analysis.headline.startswith("Of 3 points edge-d2 had the lowest median response time, ")


def test_the_interval_holds_the_true_crossing_in_about_nineteen_of_twenty_runs() -> None:
    """A binomial of 200 runs at 95 % is below 182 once in a hundred."""
    sweep = Sweep(
        axes=(Axis(name="delay_ms", values=(2, 10)),),
        points={
            "edge": Point(of="edge", values={}),
            **{f"cloud-d{delay}": Point(of="cloud", values={"delay_ms": delay}) for delay in (2, 10)},
        },
    )
    held = 0
    for seed in range(200):
        scenarios = measured(
            sweep,
            lambda of, values: 1.05 if of == "edge" else 1 + values["delay_ms"] / 100,
            noise=0.03,
            repetitions=8,
            seed=seed,
        )
        (line,) = sweeping(sweep, scenarios, None, "cloud").lines
        held += any((one.low or 0) <= 5 <= (one.high or 10) for one in line.crossings or () if one.has_interval)
    assert held >= 182


def test_warnings_of_single_points_are_not_listed_for_all_of_a_hundred() -> None:
    """Of a drift each point is unlike itself from beginning to end."""
    sweep = two_axes()
    scenarios = {name: tuple(repetition(name, number, 1 + number**2) for number in range(20)) for name in sweep.points}
    analysis = analyse(RUN, Measurements(scenarios, (), 0), sweep=sweep)
    assert sum("depend on when they were measured" in warning for warning in analysis.warnings) == 5
    assert any(warning.endswith("steadiness and traffic of each.") for warning in analysis.warnings)


def records_of(sweep: Sweep) -> list[Record]:
    random = Random(3)
    records: list[Record] = []
    for name, point in sweep.points.items():
        time_s = crossing_at_ten_times_the_share(point.of, dict(point.values))
        for number in range(1, 9):
            took_ms = 1000 * time_s * np.exp(random.gauss(0, 0.02))
            node = f"{point.of}-{point.values.get('delay_ms', 1)}"
            sent = request(
                scenario=name,
                repetition=number,
                block=number,
                node=node,
                replica=f"{node}/0",
                last_byte_ns=int((1000 + took_ms) * 1e6),
                first_byte_ns=int((999 + took_ms) * 1e6),
            )
            records += [
                sent,
                model(
                    scenario=name,
                    repetition=number,
                    block=number,
                    response_time_ms=(sent.last_byte_ns or 0) / 1e6 - 1000,
                ),
            ]
    return records


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep's run as its folder holds it, with its report."""
    results = tmp_path_factory.mktemp("sweep")
    written = write_run(results, records_of(two_axes()))
    manifest = {**MANIFEST, "sweep": two_axes().model_dump(mode="json")}
    (written / "manifest.json").write_text(json.dumps(manifest))
    assert main(["report", RUN, "--results", str(results)]) == 0
    return written


def test_the_report_has_a_figure_for_each_axis_and_the_map_and_no_pair_more(folder: Path) -> None:
    assert {path.name for path in (folder / "figures").glob("sweep*.svg")} == {
        "sweep-1.svg",
        "sweep-2.svg",
        "sweep-map-1.svg",
    }
    assert not list((folder / "figures").glob("ratio*.svg"))
    page = (folder / "report.html").read_text("utf-8")
    assert "With share 0.1, edge and cloud take equally long at delay_ms" in page
    assert page.count("<h3>edge-s0 against") == 0
    assert "the other 22 are not, and neither the paper" in page
    assert "The points of cloud were measured on different nodes (cloud-10; cloud-2; cloud-30)" in page
    summary = json.loads((folder / "analysis" / "summary.json").read_text("utf-8"))
    assert summary["sweep"]["axes"] == {"delay_ms": [2, 10, 30], "share": [0.1, 0.4]}
    assert summary["sweep"]["lines"][0]["crossings"][0]["at"] == pytest.approx(10, abs=2)


def test_the_other_scenario_can_be_the_reference_and_a_point_cannot(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["analyse", RUN, "--results", str(folder.parent), "--reference"]
    assert main([*arguments, "edge"]) == 0
    assert "cloud and edge take equally long at delay_ms" in capsys.readouterr().out
    assert main([*arguments, "edge-s0"]) == 2
    assert "'edge-s0' is not a scenario of this sweep; expected one of: edge, cloud." in capsys.readouterr().err


def test_runs_of_a_sweep_are_compared_by_a_point_that_is_named(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", RUN, "another", "--results", str(folder.parent)]) == 2
    assert f"{RUN} is a sweep, whose points are compared along its axes" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        ({"axes": []}, "sweep.axes"),
        (
            {"axes": [{"name": "a", "values": [1]}], "points": {"edge": {"of": "edge", "values": {"a": 2}}}},
            "not on the axes",
        ),
        (
            {"axes": [{"name": "a", "values": [1]}], "points": {"moon": {"of": "moon", "values": {"a": 1}}}},
            "none of the scenarios",
        ),
    ],
)
def test_a_damaged_sweep_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: Any, sentence: str
) -> None:
    written = write_run(tmp_path, records_of(two_axes()))
    (written / "manifest.json").write_text(json.dumps({**MANIFEST, "sweep": damage}))
    assert main(["analyse", RUN, "--results", str(tmp_path)]) == 2
    assert sentence in capsys.readouterr().err
