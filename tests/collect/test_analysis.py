"""A run in numbers: comparison, headline, transport, and the summary as a file."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from generated_run import RUN, all_records
from msgspec.structs import replace
from scipy import stats

from collect.analysis import statistics, summary, wording
from collect.analysis.repetitions import gather
from collect.errors import CollectError
from collect.records import ModelRecord, RequestRecord

if TYPE_CHECKING:
    from collect.analysis.summary import Analysis
    from collect.records import Record


def analysed(records: list[Record], reference: str | None = None) -> Analysis:
    return summary.analyse(RUN, gather(records), reference)


def test_the_ratio_is_that_of_the_medians_and_its_interval_is_scipys_over_the_pairs() -> None:
    comparison = analysed(all_records()).comparisons[0]
    measured = gather(all_records()).scenarios
    ours, theirs = ([one.response_s for one in measured[name]] for name in ("edge", "cloud"))

    def ratio(a: np.ndarray, b: np.ndarray, axis: int) -> Any:
        return np.median(a, axis=axis) / np.median(b, axis=axis)

    expected = stats.bootstrap(
        (ours, theirs), ratio, paired=True, method="percentile", rng=np.random.default_rng(statistics.SEED)
    ).confidence_interval
    assert (comparison.subject, comparison.reference, comparison.pairs, comparison.paired) == (
        "edge",
        "cloud",
        20,
        True,
    )
    assert comparison.response_ratio.value == pytest.approx(np.median(ours) / np.median(theirs))
    assert comparison.response_ratio.low == pytest.approx(expected.low)
    assert comparison.response_ratio.high == pytest.approx(expected.high)


def test_a_run_that_is_63_percent_lower_is_not_called_25_percent_lower() -> None:
    analysis = analysed(all_records())
    verdicts = [claim.verdict for claim in analysis.comparisons[0].claims]
    assert verdicts == ["does not hold", "does not hold", "undecided", "holds", "undecided"]
    assert "63 % lower than that of cloud" in analysis.headline
    assert analysis.warnings == ()


def test_a_repetition_that_failed_in_one_scenario_costs_its_pair_only() -> None:
    kept = [r for r in all_records() if (r.scenario, r.repetition) != ("cloud", 7)]
    analysis = analysed(kept)
    assert [scenario.repetitions for scenario in analysis.scenarios] == [19, 19]
    assert (analysis.comparisons[0].pairs, analysis.comparisons[0].paired) == (19, True)


def failing(scenario: str, count: int, repetitions: int = 20) -> list[Record]:
    """A run in which the first repetitions of a scenario failed."""
    return [
        replace(r, error="no reply") if r.scenario == scenario and 1 <= r.repetition <= count else r
        for r in all_records(repetitions=repetitions)
    ]


def test_headline_and_claims_say_how_many_of_how_many_count() -> None:
    analysis = analysed(failing("cloud", 2))
    counts = "2 of 20 repetitions of cloud failed; 18 of 20 of edge and 18 of 20 of cloud count."
    assert analysis.headline.endswith(counts)
    assert all(claim.sentence.endswith(counts) for claim in analysis.comparisons[0].claims)
    assert analysis.comparisons[0].claims[0].verdict == "does not hold"


def test_above_ten_percent_of_failures_every_claim_is_undecided_and_the_share_can_be_set() -> None:
    drawn = failing("cloud", 3)
    for claim in analysed(drawn).comparisons[0].claims:
        assert claim.verdict == "undecided"
        assert "because 3 of 20 repetitions of cloud failed, more than 10 %" in claim.sentence
    lenient = summary.analyse(RUN, gather(drawn), failed_percent=15)
    assert lenient.comparisons[0].claims[0].verdict == "does not hold"


def test_headline_and_table_have_one_population() -> None:
    analysis = analysed(failing("cloud", 10))
    edge, cloud = analysis.scenarios
    assert (edge.repetitions, edge.unpaired, cloud.repetitions, cloud.failed) == (10, 10, 10, 10)
    assert f"{wording.number(edge.response_s.median)} s against {wording.number(cloud.response_s.median)} s" in (
        analysis.headline
    )
    assert analysis.comparisons[0].response_ratio.value == pytest.approx(
        edge.response_s.median / cloud.response_s.median
    )


def test_failures_as_infinitely_long_stand_beside() -> None:
    (beside,) = analysed(failing("edge", 6)).sensitivities
    times = sorted(r.response_s for r in gather(failing("edge", 6)).unpaired if r.scenario == "cloud")
    assert len(times) == 6
    assert (beside.subject.repetitions, beside.subject.failed, beside.reference.failed) == (20, 6, 0)
    finished = sorted(r.response_s for r in gather(failing("edge", 6)).scenarios["edge"])
    assert beside.subject.median_s == pytest.approx((finished[9] + finished[10]) / 2)
    assert beside.subject.high_s is None, "the 15th of 20 values is a failure"
    (most,) = analysed(failing("edge", 12)).sensitivities
    assert (most.subject.median_s, most.ratio) == (None, None)
    assert "the median is infinite for edge (12 of 20 failed) and" in most.sentence
    assert analysed(all_records()).sensitivities == ()


def test_a_refused_run_has_its_problem_in_the_headlines_place_and_decides_nothing() -> None:
    analysis = summary.analyse(RUN, gather(all_records()), problems=["The links were off."])
    assert analysis.headline == "Refused: The links were off. What was measured is not a result."
    assert "63 % lower" in analysis.measured
    assert {claim.verdict for claim in analysis.comparisons[0].claims} == {"undecided"}


@pytest.mark.parametrize(("others", "more"), [(2, ""), (3, ""), (4, "1 more scenario is"), (6, "3 more scenarios are")])
def test_the_headline_compares_each_scenario_with_the_reference_as_long_as_it_is_read(others: int, more: str) -> None:
    names = ["edge", *(f"edge-{number}" for number in range(1, others))]
    headline = analysed(all_records((*names, "cloud"), repetitions=6)).headline
    compared = re.findall(
        r"The response time of (\S+) was typically \d+ % (?:lower|higher) than that of cloud \(", headline
    )
    assert compared == names[:3]
    assert headline.count("the median test accuracy was") == len(compared)
    assert headline.endswith(f" {more} compared below." if more else ").")


def test_repetitions_that_do_not_pair_up_are_compared_as_independent_samples() -> None:
    moved = [
        replace(r, repetition=r.repetition + 100) if r.scenario == "cloud" and not r.warmup else r
        for r in all_records()
    ]
    comparison = analysed(moved).comparisons[0]
    assert (comparison.pairs, comparison.paired) == (0, False)
    assert comparison.response_ratio.low is not None
    assert comparison.rescaling is not None


def test_one_scenario_is_reported_without_a_comparison_and_with_the_reason() -> None:
    analysis = analysed(all_records(("edge",)))
    assert analysis.comparisons == ()
    assert "so there is no comparison" in analysis.headline


def test_three_repetitions_decide_nothing() -> None:
    analysis = analysed(all_records(repetitions=3))
    assert {claim.verdict for claim in analysis.comparisons[0].claims} == {"undecided"}
    assert "interval" not in analysis.headline


def test_a_scenario_without_a_finished_repetition_is_named_and_left_out() -> None:
    failed = [replace(r, error="no reply") if r.scenario == "cloud" else r for r in all_records(repetitions=4)]
    analysis = analysed(failed)
    assert [scenario.name for scenario in analysis.scenarios] == ["edge"]
    assert analysis.without_repetitions == ("cloud",)
    assert len(analysis.failures) == 5
    assert "No other scenario can be compared with it. No repetition of cloud (4 failed) finished." in analysis.headline


def test_other_scenarios_are_compared_with_the_reference_that_was_asked_for() -> None:
    three = all_records(("edge", "cloud", "edge-bbr"), repetitions=6)
    assert [c.subject for c in analysed(three).comparisons] == ["edge", "edge-bbr"]
    assert [(c.subject, c.reference) for c in analysed(three, "edge").comparisons] == [
        ("cloud", "edge"),
        ("edge-bbr", "edge"),
    ]
    with pytest.raises(CollectError, match="Expected one of: edge, cloud, edge-bbr"):
        analysed(three, "fog")


def test_without_accuracies_the_accuracy_is_not_judged() -> None:
    blind = [replace(r, accuracy_test=None) if isinstance(r, ModelRecord) else r for r in all_records(repetitions=8)]
    comparison = analysed(blind).comparisons[0]
    assert comparison.qualities == ()
    assert len(comparison.claims) == 3


def test_parallel_requests_served_by_one_replica_are_counted() -> None:
    shared = [
        replace(r, replica="edge-1/0") if isinstance(r, RequestRecord) and r.repetition == 3 else r
        for r in all_records()
    ]
    edge, cloud = analysed(shared).scenarios
    assert (edge.transport.sharing_a_replica, cloud.transport.sharing_a_replica) == (1, 0)
    assert edge.transport.congestion_control == ("cubic",)
    assert edge.transport.requests == 2


def test_the_smallest_round_trip_stands_beside_that_of_the_links_where_records_have_it() -> None:
    measured = [
        replace(r, min_rtt_ms=2.5 + r.repetition % 4, links_rtt_ms=0.5)
        if isinstance(r, RequestRecord) and r.scenario == "edge"
        else r
        for r in all_records()
    ]
    edge, cloud = analysed(measured).scenarios
    assert (edge.transport.min_rtt_ms, edge.transport.links_rtt_ms) == (2.5, 0.5)
    assert (cloud.transport.min_rtt_ms, cloud.transport.links_rtt_ms) == (None, None)


def test_the_summary_is_the_same_bytes_for_the_same_records_and_valid_json() -> None:
    first = summary.to_json(analysed(all_records()))
    assert first == summary.to_json(analysed(all_records()))
    data = json.loads(first)
    assert data["comparisons"][0]["claims"][0]["verdict"] == "does not hold"
    assert data["method"]["bootstrap"] == {"method": "percentile", "confidence": 0.95, "resamples": 9999, "seed": 6}
    assert data["scenarios"][0]["response_s"]["interval"]["low_rank"] == 6


def test_the_papers_claims_are_not_judged_of_the_cloud_against_the_edge() -> None:
    three = all_records(("edge", "cloud", "edge-bbr"), repetitions=6)
    assert [len(c.claims) for c in analysed(three).comparisons] == [5, 5]
    assert [c.claims for c in analysed(three, "edge").comparisons] == [(), ()]
    # Of the cloud against any scenario neither, whatever that stands for.
    by_subject = {c.subject: c for c in analysed(three, "edge-bbr").comparisons}
    assert (len(by_subject["edge"].claims), len(by_subject["cloud"].claims)) == (5, 0)
