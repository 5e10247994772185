"""The paper's claims are judged by their intervals, and in words that a reader cannot misunderstand."""

from __future__ import annotations

import pytest

from collect.analysis import claims
from collect.analysis.statistics import Estimate, Statistic, Summary, summarise


def estimate(value: float, low: float | None, high: float | None, statistic: Statistic = "pair ratio") -> Estimate:
    return Estimate(statistic, value, low, high, 20, None if low is not None else "only 3 repetitions", "")


def summary() -> Summary:
    return summarise([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])


@pytest.mark.parametrize(
    ("value", "low", "high", "verdict", "words"),
    [
        (0.75, 0.70, 0.80, "holds", "In this run it is 25 % lower (95 % interval: 20 % to 30 % lower)."),
        (0.20, 0.18, 0.22, "does not hold", "lower, but by more than about 25 %: 80 % lower (95 %"),
        (0.92, 0.90, 0.95, "does not hold", "lower, but by less than about 25 %: 8 % lower"),
        (1.00, 0.95, 1.05, "does not hold", "not lower by about 25 %: the same"),
        (
            1.30,
            1.20,
            1.40,
            "does not hold",
            "It is not lower: 30 % higher (95 % interval: 20 % to 40 % higher)",
        ),
        (0.70, 0.60, 0.80, "undecided", "It is lower, but how much is not decided"),
        (0.90, 0.70, 1.20, "undecided", "Whether it is lower, and how much is not decided"),
        (0.60, None, None, "undecided", "The estimate is 40 % lower, but there is no interval: only 3 repetitions."),
    ],
)
def test_about_25_percent_lower(value: float, low: float | None, high: float | None, verdict: str, words: str) -> None:
    judged = claims.faster("edge", "cloud", estimate(value, low, high))
    assert judged.verdict == verdict
    assert words in judged.sentence


@pytest.mark.parametrize(
    ("value", "low", "high", "verdict", "words"),
    [
        (3.0, 2.1, 4.3, "holds", "3.00 times"),
        (3.0, 1.5, 6.0, "undecided", "larger, but whether much"),
        (1.4, 1.1, 1.9, "does not hold", "not much larger"),
        (0.2, 0.1, 0.4, "does not hold", "smaller"),
        (1.8, 1.2, 3.0, "undecided", "larger, but whether much"),
        (3.0, 0.8, 9.0, "undecided", "Whether it is larger"),
        (3.0, None, None, "undecided", "no interval"),
    ],
)
def test_a_much_larger_spread(value: float, low: float | None, high: float | None, verdict: str, words: str) -> None:
    judged = claims.more_spread("edge", "cloud", estimate(value, low, high, "IQR ratio"), (summary(), summary()))
    assert judged.verdict == verdict
    assert words in judged.sentence


@pytest.mark.parametrize(
    ("value", "low", "high", "verdict", "words"),
    [
        (0.0, 0.0, 0.0, "holds", "+0.0000"),
        (0.002, -0.009, 0.01, "holds", "-0.0090 to +0.0100"),
        (-0.03, -0.04, -0.02, "does not hold", "lower"),
        (0.03, 0.02, 0.04, "does not hold", "higher"),
        (0.0, -0.02, 0.02, "undecided", "beyond"),
        (0.0, None, None, "undecided", "no interval"),
    ],
)
def test_the_same_accuracy_is_an_equivalence(
    value: float, low: float | None, high: float | None, verdict: str, words: str
) -> None:
    judged = claims.same_accuracy("edge", "cloud", estimate(value, low, high, "pair difference"), 630)
    assert judged.verdict == verdict
    assert words in judged.sentence


@pytest.mark.parametrize(
    ("value", "low", "high", "verdict", "words"),
    [
        (1.8, 1.2, 2.7, "holds", "the IQR is 1.80 times that of cloud"),
        (0.5, 0.3, 0.9, "does not hold", "It is more predictable"),
        (1.4, 0.8, 2.4, "undecided", "Which of the two spreads more is not decided"),
        (1.4, None, None, "undecided", "no interval"),
    ],
)
def test_a_less_predictable_accuracy(
    value: float, low: float | None, high: float | None, verdict: str, words: str
) -> None:
    judged = claims.less_predictable("edge", "cloud", estimate(value, low, high, "IQR ratio"))
    assert judged.verdict == verdict
    assert words in judged.sentence


@pytest.mark.parametrize(
    ("value", "low", "high", "verdict", "words"),
    [
        (
            0.3,
            0.12,
            0.54,
            "holds",
            "took as long as cloud or longer in 30 % of the 20 pairs (95 % interval: 12 % to 54 %)",
        ),
        (0.0, 0.0, 0.04, "does not hold", "It happens less often: edge took as long as cloud or longer in 0 % of"),
        (0.05, 0.001, 0.25, "undecided", "5.0 % of the 20 pairs (95 % interval: 0.1 % to 25 %)"),
        (0.3, None, None, "undecided", "The estimate is 30 %, but there is no interval"),
    ],
)
def test_times_that_at_times_match_or_exceed_the_references(
    value: float, low: float | None, high: float | None, verdict: str, words: str
) -> None:
    judged = claims.at_times_slower("edge", "cloud", estimate(value, low, high, "share at least"))
    assert judged.verdict == verdict
    assert words in judged.sentence


def test_a_small_test_set_explains_why_the_accuracies_are_undecided() -> None:
    judged = claims.same_accuracy("edge", "cloud", estimate(0.0, -0.02, 0.02, "pair difference"), 63)
    assert "one text of the 63 in the test set is already 0.016" in judged.sentence


def test_nothing_to_compare_is_reported() -> None:
    judged = claims.faster("edge", "cloud", Estimate("pair ratio", None, None, None, 20, "the reference is zero", ""))
    assert (judged.verdict, judged.sentence) == ("undecided", "There is nothing to compare: the reference is zero.")


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (0.7, 0.8, "20 % to 30 % lower"),
        (1.2, 1.4, "20 % to 40 % higher"),
        (0.9, 1.1, "10 % lower to 10 % higher"),
        (0.9, 1.0, "0 % to 10.0 % lower"),
        (1.0, 1.2, "0 % to 20.0 % higher"),
        (0.998, 1.003, "0.2 % lower to 0.3 % higher"),
        (0.9996, 1.0003, "the same"),
        (0.8, 1.002, "20.0 % lower to 0.2 % higher"),
        (0.747, 0.753, "24.7 % to 25.3 % lower"),
        (0.001, 0.004, "99.6 % to 99.9 % lower"),
    ],
)
def test_an_interval_of_ratios_is_worded_the_way_a_person_would(low: float, high: float, words: str) -> None:
    assert claims.lower_span(low, high) == words
