"""Requests that were not sent together: quantiles by repetition, counted from when each was due."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from generated_run import all_records, arrived, write_run

from collect.__main__ import main
from collect.analysis.arrived import fewest, response_s
from collect.analysis.repetitions import gather
from collect.analysis.summary import analyse
from collect.records import RequestRecord

if TYPE_CHECKING:
    from pathlib import Path

    from collect.records import Record


def run(scenario: str = "near", count: int = 8, late_ms: float = 0) -> list[Record]:
    times = np.random.default_rng(1).exponential(100, (count, 120)) + late_ms
    return [one for number, row in enumerate(times.tolist()) for one in arrived(scenario, number, row, late_ms)]


def test_a_quantile_is_that_of_each_repetitions_requests_and_its_interval_that_of_repetitions() -> None:
    records = run(late_ms=4)
    analysis = analyse("r", gather(records))
    (scenario,) = analysis.scenarios
    assert scenario.arrived is not None
    requests = [one for one in records if isinstance(one, RequestRecord)]
    own = [[response_s(one, "due") for one in requests if one.repetition == number] for number in range(8)]
    due = next(times for times in scenario.arrived.times if (times.kind, times.counted_from) == (None, "due"))
    assert due.requests == 960
    for share, summary in zip((0.5, 0.9, 0.99), due.quantiles_s, strict=True):
        by_repetition = [float(np.quantile(row, share)) for row in own]
        assert summary is not None
        assert summary.n == 8
        assert summary.median == pytest.approx(float(np.median(by_repetition)))
        assert (summary.interval.low, summary.interval.high) == (min(by_repetition), max(by_repetition))
    assert scenario.response_s.median == pytest.approx(due.quantiles_s[0].median if due.quantiles_s[0] else 0)
    sent = next(times for times in scenario.arrived.times if (times.kind, times.counted_from) == (None, "sent"))
    assert sent.quantiles_s[0] is not None
    assert sent.quantiles_s[0].median == pytest.approx(scenario.response_s.median - 0.004)
    assert scenario.arrived.late_p99_ms == pytest.approx(4)
    assert scenario.arrived.offered_per_s == pytest.approx(100)


def test_a_kind_with_too_few_requests_has_no_p99_and_no_quantile_is_made_up() -> None:
    assert [fewest(share) for share in (0.5, 0.9, 0.99)] == [1, 10, 100]
    (scenario,) = analyse("r", gather(run())).scenarios
    assert scenario.arrived is not None
    for times in scenario.arrived.times:
        assert (times.quantiles_s[2] is None) == (times.kind is not None)
        assert times.quantiles_s[1] is not None
        assert times.requests == (960 if times.kind is None else 480)


def test_a_response_time_that_is_not_that_of_its_requests_is_a_failure() -> None:
    (failure,) = gather(arrived("near", 0, [5.0, 7.0, 9.0], response_time_ms=5.0)).failures
    assert "its response time is recorded as 5.000 ms, its requests took 7.000 ms" in failure.error
    # Sent together they would have taken 29 ms.
    (failure,) = gather(arrived("near", 0, [5.0, 7.0, 9.0], arrivals="together")).failures
    assert "its requests took 29.000 ms" in failure.error


def test_neither_skew_nor_sharing_nor_another_speed_is_told_of_requests_that_were_not_together() -> None:
    analysis = analyse("r", gather([*run("near"), *run("far")]))
    assert not analysis.warnings
    for scenario in analysis.scenarios:
        assert scenario.traffic.skew_ms is None
        assert scenario.transport.sharing_a_replica == 0
    (comparison,) = analysis.comparisons
    assert comparison.rescaling is None
    assert analysis.headline.endswith(
        "A repetition's response time of far (poisson) and near (poisson) is the median of its requests', each counted "
        "from when it was due."
    )


def test_the_report_has_their_table_and_figure(tmp_path: Path) -> None:
    folder = write_run(tmp_path, run())
    assert main(["report", folder.name, "--results", str(tmp_path)]) == 0
    page = (folder / "report.html").read_text("utf-8")
    assert "Response times of requests that were not sent together" in page
    assert "poisson: 100 requests/s due" in page
    assert (folder / "figures" / "requests.svg").exists()


def test_single_requests_are_not_compared_with_requests_that_went_together() -> None:
    together = [one for number in range(8) for one in arrived("cloud", number, [30.0] * 120)]
    analysis = analyse("r", gather([*run("near"), *together, *all_records(("edge",), repetitions=8)]), reference="near")
    assert [comparison.subject for comparison in analysis.comparisons] == ["cloud"]
    (warning,) = (one for one in analysis.warnings if "not compared" in one)
    assert warning.startswith(
        "edge is not compared with near: its requests arrived as 'together', those of near as 'poi"
    )
    # The paper's requests went together, so its claims are not about these.
    (comparison,) = analyse("r", gather([*run("edge"), *together])).comparisons
    assert (comparison.subject, comparison.reference, comparison.claims) == ("edge", "cloud", ())
