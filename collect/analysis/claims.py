"""The paper's claims, each judged against a run: holds, does not hold, or undecided. No I/O.

The paper (section V): "our proposed approach improves the response times by around 25%"; the response times "vary to a
much greater degree with our proposed 6G approach [...] at times also matching or even slightly exceeding comparable
response times of the cloud"; "the achieved median accuracy in a 6G setup remains the same"; "there is a trade-off in
predictability of the response times and the accuracy" (abstract).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

    from collect.analysis.statistics import Estimate, Summary
    from collect.expect import ClaimName

Verdict = Literal["holds", "does not hold", "undecided"]

# The paper's two scenarios: its claims are about the first, compared with the second.
EDGE, CLOUD = "edge", "cloud"
PAPER_RATIO = 0.75
# "Around 25 %" is one rounded number from 20 repetitions a side, read off box plots and given without an interval: ten
# points to either side is as finely as it can be read.
AROUND = 0.10
# The paper gives no number for "a much greater degree"; twice the interquartile range is the least the words can mean.
MUCH_LARGER = 2.0
# One repetition's accuracy over 630 test texts near 0.9 has a standard error of 0.012, so no reader of one repetition
# could see a difference of 0.01.
SAME_ACCURACY = 0.01
# The paper gives no number for "at times"; one repetition of its twenty is the least that it can have seen.
AT_TIMES = 0.05
# Below it a percentage is written with a place, or all would be "100 % lower".
SMALL_RATIO = 0.01


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim of the paper, the rule it is judged by, and what this run says; thresholds call it by its name."""

    name: ClaimName
    claim: str
    rule: str
    verdict: Verdict
    sentence: str


def faster(subject: str, reference: str, ratio: Estimate) -> Claim:
    """Judge "the median response time at the edge is about 25 % lower" by the typical ratio."""
    low_end, high_end = PAPER_RATIO - AROUND, PAPER_RATIO + AROUND
    claim = f"The median response time of {subject} is about 25 % lower than that of {reference}."
    rule = (
        f"Holds when the whole interval of the typical ratio lies within {low_end:.2f} to {high_end:.2f} (15 % "
        " to 35 % lower: the paper's figure is one rounded number without an interval), does not hold when it "
        "lies outside."
    )
    judged = partial(Claim, "faster", claim, rule)
    if ratio.value is None or ratio.low is None or ratio.high is None:
        return judged("undecided", _without_interval(ratio, lower_by))
    seen = f"{lower_by(ratio.value)} (95 % interval: {lower_span(ratio.low, ratio.high)})"
    if low_end <= ratio.low and ratio.high <= high_end:
        return judged("holds", f"In this run it is {seen}.")
    if ratio.high < low_end:
        return judged("does not hold", f"It is lower, but by more than about 25 %: {seen}.")
    if ratio.low > 1:
        return judged("does not hold", f"It is not lower: {seen}.")
    if ratio.low > high_end:
        direction = "It is lower, but by less than about 25 %" if ratio.high < 1 else "It is not lower by about 25 %"
        return judged("does not hold", f"{direction}: {seen}.")
    sure = "It is lower, but how" if ratio.high < 1 else "Whether it is lower, and how"
    return judged("undecided", f"{sure} much is not decided: {seen}.")


def more_spread(subject: str, reference: str, ratio: Estimate, medians: tuple[Summary, Summary]) -> Claim:
    """Judge "its spread is much larger" by the ratio of the interquartile ranges of the response times."""
    claim = f"The response times of {subject} spread much more than those of {reference}."
    rule = (
        f"Holds when the whole interval of the ratio of the interquartile ranges (IQR) lies above {MUCH_LARGER:g}, "
        "does not hold when it lies below."
    )
    judged = partial(Claim, "more-spread", claim, rule)
    if ratio.value is None or ratio.low is None or ratio.high is None:
        return judged("undecided", _without_interval(ratio, _times))
    seen = f"the IQR is {_times(ratio.value)} that of {reference} (95 % interval: {ratio.low:.2f} to {ratio.high:.2f})"
    shares = [
        f"{100 * summary.iqr / summary.median:.0f} % of its median in {name}"
        for summary, name in zip(medians, (subject, reference), strict=True)
        if summary.median > 0
    ]
    seen += f"; it is {' and '.join(shares)}" if shares else ""
    if ratio.low >= MUCH_LARGER:
        return judged("holds", f"In this run {seen}.")
    if ratio.high < 1:
        return judged("does not hold", f"The spread is smaller: {seen}.")
    if ratio.high < MUCH_LARGER:
        return judged("does not hold", f"The spread is not much larger: {seen}.")
    sure = "It is larger, but whether much" if ratio.low > 1 else "Whether it is larger"
    return judged("undecided", f"{sure} is not decided: {seen}.")


def same_accuracy(subject: str, reference: str, difference: Estimate, test_texts: int) -> Claim:
    """Judge "the same median accuracy" as an equivalence: the interval of the typical difference within the margin."""
    claim = f"The median test accuracy of {subject} is the same as that of {reference}."
    rule = (
        f"Holds when the whole interval of the typical difference lies within ±{SAME_ACCURACY} (less than "
        "the standard error of one repetition's accuracy on the paper's 630 test texts, 0.012), does not hold when it "
        "lies outside."
    )
    judged = partial(Claim, "same-accuracy", claim, rule)
    if difference.value is None or difference.low is None or difference.high is None:
        return judged("undecided", _without_interval(difference, _points))
    low, high = difference.low, difference.high
    seen = f"the typical difference is {difference.value:+.4f} (95 % interval: {low:+.4f} to {high:+.4f})"
    if low >= -SAME_ACCURACY and high <= SAME_ACCURACY:
        return judged("holds", f"In this run {seen}.")
    if low > SAME_ACCURACY or high < -SAME_ACCURACY:
        return Claim(
            "same-accuracy", claim, rule, "does not hold", f"It is {'higher' if low > 0 else 'lower'}: {seen}."
        )
    if test_texts and 1 / test_texts > SAME_ACCURACY:
        seen += f"; one text of the {test_texts} in the test set is already {1 / test_texts:.3f}"
    return judged("undecided", f"The interval reaches beyond ±{SAME_ACCURACY}: {seen}.")


def less_predictable(subject: str, reference: str, ratio: Estimate) -> Claim:
    """Judge "a trade-off in predictability of the accuracy" by the ratio of the interquartile ranges."""
    claim = f"The test accuracy of {subject} is less predictable than that of {reference}."
    rule = (
        "Holds when the whole interval of the ratio of the interquartile ranges (IQR) of the accuracies lies above 1, "
        "does not hold when it lies below."
    )
    judged = partial(Claim, "less-predictable", claim, rule)
    if ratio.value is None or ratio.low is None or ratio.high is None:
        return judged("undecided", _without_interval(ratio, _times))
    seen = f"the IQR is {_times(ratio.value)} that of {reference} (95 % interval: {ratio.low:.2f} to {ratio.high:.2f})"
    if ratio.low > 1:
        return judged("holds", f"In this run {seen}.")
    if ratio.high < 1:
        return judged("does not hold", f"It is more predictable: {seen}.")
    return judged("undecided", f"Which of the two spreads more is not decided: {seen}.")


def at_times_slower(subject: str, reference: str, share: Estimate) -> Claim:
    """Judge "at times also matching or even exceeding the response times of the cloud" by how often that happens."""
    claim = f"Response times of {subject} at times match or exceed those of {reference}."
    rule = (
        f"Holds when the whole interval of the probability that {subject} takes as long as {reference} or longer lies "
        f"above {100 * AT_TIMES:g} % (one repetition of the paper's twenty), does not hold when it lies below."
    )
    judged = partial(Claim, "at-times-slower", claim, rule)
    if share.value is None or share.low is None or share.high is None:
        return judged("undecided", _without_interval(share, _percent))
    of = f" of the {share.pairs} pairs" if share.pairs else " of all combinations of repetitions"
    span = f"{_percent(share.low)} to {_percent(share.high)}"
    seen = f"{subject} took as long as {reference} or longer in {_percent(share.value)}{of} (95 % interval: {span})"
    if share.low > AT_TIMES:
        return judged("holds", f"In this run {seen}.")
    if share.high < AT_TIMES:
        return judged("does not hold", f"It happens less often: {seen}.")
    return judged("undecided", f"Whether it happens that often is not decided: {seen}.")


def withheld(claim: Claim, reason: str) -> Claim:
    """Return a claim as undecided for a reason, with what would have been said of it."""
    return replace(claim, verdict="undecided", sentence=f"Not judged, because {reason}. Otherwise: {claim.sentence}")


def is_papers(subject: str, reference: str) -> bool:
    """Return whether a comparison is the way round that the paper's claims are: never of the cloud against the edge.

    What other scenarios stand for is not known, so any other subject may be judged against any other reference.
    """
    return subject != CLOUD and reference != EDGE


def lower_by(ratio: float, places: int = 0) -> str:
    """Return a ratio of times in words: ``25 % lower``, ``4 % higher``, ``the same``."""
    percent = round(100 * (1 - ratio), places if ratio > SMALL_RATIO else max(places, 1))
    shown = f"{abs(percent):.{places}f}" if ratio > SMALL_RATIO else f"{abs(percent):g}"
    return f"{shown} % lower" if percent > 0 else f"{shown} % higher" if percent < 0 else "the same"


def compared(ratio: float) -> str:
    """Return a ratio of times as what stands before the reference: ``25 % lower than``, ``the same as``."""
    lower = lower_by(ratio)
    return f"{lower} {'as' if lower == 'the same' else 'than'}"


def lower_span(low: float, high: float) -> str:
    """Return an interval of a ratio of times in words: ``20 % to 30 % lower``, ``5 % lower to 3 % higher``.

    Where an end would be "the same", or both would be one number, they are written with a place; what is the same even
    then is 0 %.
    """
    ends = [lower_by(high), lower_by(low)]
    if "the same" in ends or ends[0] == ends[1]:
        ends = [lower_by(high, 1), lower_by(low, 1)]
    if ends[0] == ends[1]:
        return ends[0]
    if "the same" in ends:
        other = next(end for end in ends if end != "the same")
        return f"0 % to {other}"
    words = {end.rpartition(" ")[2] for end in ends}
    if words == {"lower"}:
        return f"{ends[0].removesuffix(' lower')} to {ends[1]}"
    if words == {"higher"}:
        return f"{ends[1].removesuffix(' higher')} to {ends[0]}"
    return f"{ends[1]} to {ends[0]}"


def _times(ratio: float) -> str:
    return f"{ratio:.2f} times"


def _percent(share: float) -> str:
    """Return a share as a percentage, with a place where it is small."""
    percent = 100 * share
    return f"{percent:.1f} %" if 0 < percent < 10 else f"{percent:.0f} %"  # noqa: PLR2004


def _points(difference: float) -> str:
    return f"{difference:+.4f}"


def _without_interval(estimate: Estimate, in_words: Callable[[float], str]) -> str:
    if estimate.value is None:
        return f"There is nothing to compare: {estimate.no_interval_because}."
    return f"The estimate is {in_words(estimate.value)}, but there is no interval: {estimate.no_interval_because}."
