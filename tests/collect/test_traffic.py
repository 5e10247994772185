"""How requests were sent: skew, cold and warm apart, tails only where they can be known, uploads beside their bounds."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from generated_run import MS, RUN, all_records, links, request, write_run
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from scipy import stats

from collect import folder, run
from collect.__main__ import main
from collect.analysis import quantiles, summary, traffic
from collect.analysis.repetitions import Repetition, gather
from collect.analysis.traffic import NetworkPath
from collect.records import RequestRecord

if TYPE_CHECKING:
    from pathlib import Path

    from collect.analysis.traffic import Paths, Traffic
    from collect.records import Record


def repetition(*requests: RequestRecord, response_s: float = 1.0) -> Repetition:
    return Repetition("edge", "bs", 1, 1, 1, response_s, (), 0.1, requests, 0, 2520, 630)


def test_p90_needs_36_values_and_p99_368() -> None:
    assert (quantiles.fewest(0.9), quantiles.fewest(0.99)) == (36, 368)
    for share, fewest in ((0.9, 36), (0.99, 368)):
        assert quantiles.quantile(range(fewest - 1), share) is None
        assert quantiles.quantile(range(fewest), share) is not None


@pytest.mark.parametrize(("share", "n"), [(0.9, 36), (0.9, 100), (0.9, 1000), (0.99, 368), (0.99, 2000)])
def test_the_interval_of_a_quantile_covers_95_percent_and_none_that_is_narrower_does_on_its_side(
    share: float, n: int
) -> None:
    # With the values 1 to n, an end is its own rank.
    found = quantiles.quantile([float(rank) for rank in range(1, n + 1)], share)
    assert found is not None
    below = stats.binom(n, share)
    assert below.cdf(found.low - 1) <= 0.025 < below.cdf(found.low)
    assert below.sf(found.high - 1) <= 0.025 < below.sf(found.high - 2)
    assert found.low <= found.value <= found.high


def test_the_interval_holds_the_quantile_of_a_known_distribution_95_times_in_100() -> None:
    draws = np.random.default_rng(1).exponential(size=(2000, 60))
    truth = stats.expon.ppf(0.9)
    found = [quantiles.quantile(list(row), 0.9) for row in draws]
    covered = np.mean([one is not None and one.low <= truth <= one.high for one in found])
    assert covered > 0.94


def sent(repetitions: list[Repetition], paths: Paths) -> Traffic:
    added = traffic.Sent()
    for one in repetitions:
        added.add(one.response_s, one.requests)
    return added.traffic(paths)


def test_the_skew_is_from_the_first_to_the_last_request_that_was_sent() -> None:
    parallel = repetition(request(), request(request=1, sent_ns=1007 * MS), request(request=2, sent_ns=1002 * MS))
    assert traffic.skew_ms(parallel.requests) == pytest.approx(7)
    assert traffic.skew_ms([request()]) is None


def test_cold_and_warm_repetitions_stand_apart() -> None:
    warm, cold = (
        repetition(request(), response_s=1.0),
        repetition(request(), request(request=1, cold=True), response_s=9),
    )
    seen = sent([warm, warm, cold], {})
    assert seen.warm_s is not None
    assert seen.cold_s is not None
    assert (seen.warm_s.n, seen.warm_s.median, seen.cold_s.n, seen.cold_s.median) == (2, 1.0, 1, 9)
    assert sent([warm], {}).cold_s is None


def test_a_mixture_of_cold_and_warm_and_a_large_skew_are_warned_of() -> None:
    plain = all_records(repetitions=8)
    assert not [w for w in analysed(plain) if "cold" in w or "same time" in w]
    mixed = [replace(r, cold=r.repetition == 2) if isinstance(r, RequestRecord) else r for r in plain]
    (warning,) = [w for w in analysed(mixed) if "cold" in w and "edge" in w]
    assert warning.startswith("1 of 8 repetitions of edge met a cold replica (median ")
    late = [
        replace(r, sent_ns=(r.sent_ns or 0) + 80 * MS, connected_ns=(r.connected_ns or 0) + 80 * MS)
        if isinstance(r, RequestRecord) and r.request == 1
        else r
        for r in plain
    ]
    (warning,) = [w for w in analysed(late) if "same time" in w]
    assert "of edge were not sent at the same time: the last left 81.0 ms after the first" in warning


def analysed(records: list[Record]) -> tuple[str, ...]:
    return summary.analyse(RUN, gather(records)).warnings


@pytest.mark.parametrize(
    ("size", "rounds"), [(100, 1), (14_480, 1), (14_481, 2), (3 * 14_480, 2), (3 * 14_480 + 1, 3), (12_600_000, 10)]
)
def test_slow_start_doubles_its_window_each_round_trip(size: int, rounds: int) -> None:
    found = traffic.bounds(size, NetworkPath(30.0))
    assert (found.rounds, found.reno_s) == (rounds, None)
    assert found.slow_start_s == pytest.approx(rounds * 0.030)


@given(st.integers(1, 10**9))
def test_no_upload_of_doubling_windows_is_faster_than_its_bound(size: int) -> None:
    sent, window, rounds = 0, 10 * 1448, 0
    while sent < size:
        sent, window, rounds = sent + window, 2 * window, rounds + 1
    assert traffic.bounds(size, NetworkPath(1.0)).rounds == rounds


def test_an_upload_is_compared_with_the_path_to_the_node_that_served_it() -> None:
    paths = {("bs", "edge-1"): NetworkPath(2.5, 390.0), ("bs", "cloud-1"): NetworkPath(30.0, 9.7)}
    upload = sent([repetition(request(connected_ns=1020 * MS))], paths).upload
    assert upload is not None
    assert upload.median_s == pytest.approx(0.08)
    assert upload.median_mbit == pytest.approx(6.3 * 8 / 0.08)
    assert upload.bounds is not None
    assert (upload.bounds.round_trip_ms, upload.bounds.rounds) == (2.5, 9)
    assert upload.bounds.reno_s == pytest.approx(6.3 * 8 / 390)
    unknown = sent([repetition(request(node="fog-1"))], paths).upload
    assert unknown is not None
    assert unknown.bounds is None


@pytest.mark.parametrize("missing", [{"sent_ns": None}, {"uploaded_ns": None}, {"uploaded_ns": 1003 * MS}])
def test_without_its_times_an_upload_is_not_counted(missing: dict[str, Any]) -> None:
    assert sent([repetition(request(**missing))], {}).upload is None


def test_paths_are_round_trips_as_they_were_measured_or_both_ways_together(tmp_path: Path) -> None:
    target = write_run(tmp_path, all_records(repetitions=3))
    data = links(1)
    by_pair = {(check["link"]["source"], check["link"]["target"]): check for check in data["links"]}
    by_pair["bs", "edge-1"]["tcp"] = {"mbit": 300.0, "formula_mbit": 390.0}
    by_pair["bs", "edge-2"].update(clock="round-trip")
    by_pair["bs", "cloud-1"].update(round_trip=by_pair["bs", "cloud-1"]["delay"] | {"mean_ms": 31.5})
    (target / "links" / "before.json").write_text(json.dumps(data))
    paths = run.paths(run.load(folder.find(tmp_path, RUN)))
    both = [by_pair[pair]["delay"]["mean_ms"] for pair in (("bs", "edge-1"), ("edge-1", "bs"))]
    assert paths["bs", "edge-1"] == NetworkPath(sum(both), 390.0)
    assert paths["bs", "edge-2"].round_trip_ms == by_pair["bs", "edge-2"]["delay"]["mean_ms"]
    assert paths["bs", "cloud-1"] == NetworkPath(31.5)


@pytest.mark.usefixtures("no_figures")
def test_the_report_shows_skew_tails_and_uploads_and_says_where_there_are_too_few_values(tmp_path: Path) -> None:
    target = write_run(tmp_path, all_records(repetitions=40))
    assert main(["report", RUN, "--results", str(tmp_path)]) == 0
    text = (target / "report.html").read_text()
    assert text.count("<small>n &lt; 368</small>") == 3
    assert "n &lt; 36<" not in text
    assert "<td>skew (ms)</td>" in text
    assert "<small>9 round trips</small>" in text
    data = json.loads((target / "analysis" / "summary.json").read_text())
    edge = data["scenarios"][0]["traffic"]
    assert edge["skew_ms"]["median"] == pytest.approx(1)
    assert edge["warm_s"]["p90"]["low"] < edge["warm_s"]["p90"]["high"]
    assert edge["cold_s"] is None
