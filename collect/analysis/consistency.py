"""Whether the records of a repetition can be true and fit each other. No I/O."""

from __future__ import annotations

import math
from itertools import pairwise
from statistics import fmean
from typing import TYPE_CHECKING

from collect.records import TOGETHER, median_request_ms, response_time_ms

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from collect.records import ModelRecord, RequestRecord

# The statuses that a scenario may expect.
SUCCESS = range(200, 300)
# A response time is written in ms with nine places or so: further apart than this are two different times.
SAME_MS = 1e-3
SAME_QUALITY = 1e-9
STAGES = ("sent_ns", "connected_ns", "uploaded_ns", "first_byte_ns", "last_byte_ns")


def problem(model: ModelRecord, requests: Sequence[RequestRecord], expected: int) -> str | None:
    """Return the first thing that cannot be in a repetition's records, as a phrase, or ``None``.

    Args:
        model: the record of a repetition that finished without an error.
        requests: its requests, in the order of their numbers.
        expected: how many requests it has.
    """
    return next(_problems(model, requests, expected), None)


def _problems(model: ModelRecord, requests: Sequence[RequestRecord], expected: int) -> Iterator[str]:
    # Compared by number first: a record may expect more than fit into memory.
    if len(requests) != expected or [request.request for request in requests] != list(range(len(requests))):
        numbers = ", ".join(str(request.request) for request in requests) or "none"
        yield f"requests {numbers} are on record, expected are {expected}"
    for request in requests:
        for words in _of_request(request):
            yield f"request {request.request}: {words}"
    if any(request.block != model.block or request.warmup != model.warmup for request in requests):
        yield "its lines name different blocks"
    failed = [request for request in requests if request.error is not None]
    if len(failed) != model.failed_requests:
        yield f"{model.failed_requests} of its requests failed as a result, {len(failed)} have an error"
    answered = [request for request in requests if request.error is None]
    of_requests = response_time_ms if model.arrivals == TOGETHER else median_request_ms
    recomputed, recorded = of_requests(answered), model.response_time_ms
    if recomputed is not None and recorded is not None and abs(recomputed - recorded) > SAME_MS:
        yield f"its response time is recorded as {recorded:.3f} ms, its requests took {recomputed:.3f} ms"
    if model.chosen_request is not None and model.chosen_request >= expected:
        yield f"it chose request {model.chosen_request} of {expected}"
    yield from shares({"test accuracy": model.accuracy_test})
    yield from _other_qualities(model, answered)
    if model.fit_ms is not None and model.fit_ms < 0:
        yield f"the fit took {model.fit_ms:.3f} ms"


def _other_qualities(model: ModelRecord, requests: Sequence[RequestRecord]) -> Iterator[str]:
    measures = [quality.measure for quality in model.qualities]
    if len(set(measures)) < len(measures):
        yield "it has two values of one measure"
    for quality in model.qualities:
        values = [request.qualities.get(quality.measure) for request in requests]
        known = [value for value in values if value is not None]
        if len(known) < len(values):
            yield f"its {quality.measure} is recorded, but not that of each request"
        elif known and not math.isclose(fmean(known), quality.value, rel_tol=SAME_QUALITY, abs_tol=SAME_QUALITY):
            own = f"its {quality.measure} is recorded as {quality.value:g}"
            yield f"{own}, the mean of its requests is {fmean(known):g}"


def _of_request(request: RequestRecord) -> Iterator[str]:
    if request.error is None and request.status not in SUCCESS:
        yield f"status {request.status} without an error"
    if request.error is None and (request.sent_ns is None or request.last_byte_ns is None):
        yield "neither all its times nor an error"
    stages = (request.sent_ns, request.connected_ns, request.uploaded_ns, request.first_byte_ns, request.last_byte_ns)
    times = [at for at in stages if at is not None]
    if times and min(times) < 0:
        yield "a negative time"
    if times != sorted(times):
        named = [(name, at) for name, at in zip(STAGES, stages, strict=True) if at is not None]
        for (before, earlier), (after, later) in pairwise(named):
            if later < earlier:
                yield f"{after} {later} before {before} {earlier}"
    yield from shares(
        {"validation accuracy": request.accuracy_validation, "accuracy of the function": request.accuracy_function}
    )
    if request.phases_ms and min(request.phases_ms.values()) < 0:
        for name, lasted_ms in request.phases_ms.items():
            if lasted_ms < 0:
                yield f"phase {name} took {lasted_ms:.3f} ms"


def shares(values: Mapping[str, float | None]) -> Iterator[str]:
    """Yield which of these values, by name, is no share, as a phrase each."""
    for name, value in values.items():
        if value is not None and not 0 <= value <= 1:
            yield f"{name} {value:g}: expected 0 to 1"
