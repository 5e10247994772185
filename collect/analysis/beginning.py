"""The first repetitions of a run: whether they are like the rest, and what the comparison is without them. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING

from collect.analysis import sample, steady, wording
from collect.analysis.repetitions import started

if TYPE_CHECKING:
    from collections.abc import Sequence

    from collect.analysis.repetitions import Repetition
    from collect.analysis.statistics import Estimate
    from collect.analysis.steady import Steadiness


def steadiness(repetitions: Sequence[Repetition], reference: Sequence[Repetition] | None = None) -> Steadiness | None:
    """Return whether the first response times, or their ratios to the reference's, are like the rest.

    ``None`` for several base stations, which begin at once, and for blocks of several repetitions: these are alike, so
    the first block is unlike the rest without being a warm-up.
    """
    divisors = [1.0] * len(repetitions) if reference is None else [r.response_s for r in reference]
    blocks = {(repetition.base_station, repetition.block) for repetition in repetitions}
    stations = {repetition.base_station for repetition in repetitions}
    if len(stations) > 1 or len(blocks) < len(repetitions) or min(divisors, default=1) <= 0:
        return None
    measured = sorted(zip(repetitions, divisors, strict=True), key=lambda pair: started(pair[0]))
    return steady.steadiness([repetition.response_s / divisor for repetition, divisor in measured])


def without(
    pairs: tuple[Sequence[Repetition], Sequence[Repetition]], seen: Sequence[Steadiness | None]
) -> Estimate | None:
    """Return the typical ratio without the first pairs, as many as any of these found unlike the rest.

    ``None`` where none did, or where there are no more pairs than that.
    """
    first = max((one.first for one in seen if one is not None and not one.steady), default=0)
    if not 0 < first < len(pairs[0]):
        return None
    measured = sorted(zip(*pairs, strict=True), key=lambda pair: min(map(started, pair)))[first:]
    ours, theirs = zip(*measured, strict=True)
    return sample.ratio(sample.sample(ours, theirs, lambda r: r.response_s, paired=True))


def sentence(names: tuple[str, str], seen: Steadiness | None, all_pairs: Estimate, rest: Estimate) -> str:
    """Return in words what the comparison is without its first pairs, and whether their ratio was another one."""
    of = f"ratio of {names[0]} to {names[1]}"
    changed = ""
    if seen is not None and not seen.steady:
        changed = (
            f"In the first {wording.count(seen.first, 'pair')} the {of} was {wording.number(seen.median_first)}, in "
            f"the rest {wording.number(seen.median_rest)} (medians, p = {seen.p:.1g}). "
        )
    values = [
        f"{wording.estimate(one, places=3)} (95 % interval: {wording.span(one.low, one.high, places=3)})"
        for one in (rest, all_pairs)
    ]
    first = wording.count(all_pairs.pairs - rest.pairs, "pair")
    return f"{changed}Without the first {first} the typical {of} is {values[0]} instead of {values[1]}."
