"""The repetitions of several base stations: each is one data point, whichever of them measured what. No I/O.

What base stations measure at the same time, against the same replicas, is not independent: counted one by one, it would
make intervals narrower than they are. So all that they measured in a repetition is one value.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING

from collect.analysis.consistency import shares
from collect.analysis.packed import joined
from collect.analysis.quality import TEST_ACCURACY
from collect.records import TOGETHER, median_request_ms, response_time_ms

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence, Sized

    from collect.analysis.quality import Measure
    from collect.analysis.repetitions import Repetition
    from collect.records import NetworkRecord, RequestRecord


def joint(record: NetworkRecord, parts: Mapping[str, Repetition | str | None]) -> Repetition | str:
    """Return the repetition that several base stations measured together, or why it is no data point, as a phrase.

    Args:
        record: what the first one made of all replies.
        parts: what each base station measured, or why that is none; ``None`` where nothing is on record.
    """
    whole = {name: part for name, part in parts.items() if part is not None and not isinstance(part, str)}
    reasons = [f"{name}: {part}" for name, part in parts.items() if isinstance(part, str)]
    reasons += [f"nothing of {name} is on record" for name, part in parts.items() if part is None]
    if reasons or record.error is not None:
        return "; ".join(reasons) or str(record.error)
    contradiction = _contradiction(record, whole)
    if contradiction:
        return f"its records cannot be true: {contradiction}"
    requests = joined(part.requests for part in whole.values())
    first = whole[record.base_station]
    return replace(
        first,
        base_station=name_of(whole),
        response_s=_response_s(list(requests), together=first.arrivals == TOGETHER),
        qualities=_qualities(record, whole.values()),
        fit_s=None if record.fit_ms is None else record.fit_ms / 1000,
        requests=requests,
        unanswered=tuple(chain.from_iterable(part.unanswered for part in whole.values())),
        chosen_request=record.chosen_request,
        chosen_base_station=record.chosen_base_station,
        training_texts=record.training_texts,
        test_texts=record.test_texts,
        parts=tuple(whole.values()),
    )


def _qualities(record: NetworkRecord, parts: Iterable[Repetition]) -> tuple[tuple[Measure, float], ...]:
    """Return the values by each measure: the test accuracy is that of all together, others are means of requests."""
    sums: dict[Measure, list[tuple[float, int]]] = {}
    for part in parts:
        for measure, value in part.qualities:
            sums.setdefault(measure, []).append((value, len(part.requests)))
    own = {
        measure: sum(value * count for value, count in values) / sum(count for _, count in values)
        for measure, values in sums.items()
        if measure != TEST_ACCURACY
    }
    tested = {} if record.accuracy_test is None else {TEST_ACCURACY: record.accuracy_test}
    return tuple({**tested, **own}.items())


def name_of(base_stations: Sized) -> str:
    """Return what several base stations are called together."""
    return f"{len(base_stations)} base stations"


def _contradiction(record: NetworkRecord, parts: Mapping[str, Repetition]) -> str | None:
    if record.base_station not in parts:
        return f"{record.base_station} is none of its base stations"
    if record.chosen_base_station not in (None, *parts):
        return f"it chose a request of {record.chosen_base_station}"
    chosen = parts.get(record.chosen_base_station or "")
    if chosen is not None and (record.chosen_request is None or record.chosen_request >= len(chosen.all_requests)):
        return f"it chose request {record.chosen_request} of {len(chosen.all_requests)}"
    if len({part.arrivals for part in parts.values()}) > 1:
        return "its base stations' requests arrived in different ways"
    return next(shares({"test accuracy": record.accuracy_test}), None)


def _response_s(requests: Sequence[RequestRecord], *, together: bool) -> float:
    """Return how long a repetition took, by the one clock that all times are recorded by."""
    took_ms = response_time_ms(requests) if together else median_request_ms(requests)
    if took_ms is None:
        raise AssertionError("requests of data points have their times")
    return took_ms / 1000
