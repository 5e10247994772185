"""Where a response time goes, and what it would be with other compute."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from generated_run import MS, all_records, request
from hypothesis import given
from hypothesis import strategies as st

from collect.analysis import phases, rescaling
from collect.analysis.repetitions import Repetition, gather

if TYPE_CHECKING:
    from collect.analysis.phases import Request


def split_one(**changes: Any) -> Request:
    parts = phases.split([request(**changes)])
    assert parts is not None
    return parts[0]


def test_a_request_is_split_as_its_record_says() -> None:
    part = split_one()
    assert part.phases_s == pytest.approx(
        {
            "upload": 0.1,
            "wait": 0.0,
            "read": 0.05,
            "queue": 0.0,
            "parse": 0.05,
            "vectorise": 0.1,
            "search": 0.14,
            "fit": 0.01,
            "download": 0.05,
        }
    )
    assert part.compute_s == pytest.approx(0.3)
    assert part.network_s == pytest.approx(0.2)


def test_waiting_inside_the_function_is_no_compute() -> None:
    part = split_one(phases_ms={"read": 10.0, "queue": 200.0, "search": 100.0})
    assert part.phases_s["queue"] == pytest.approx(0.2)
    assert part.compute_s == pytest.approx(0.1)


def test_a_phase_that_is_not_known_is_compute_and_keeps_its_name() -> None:
    part = split_one(phases_ms={"search": 100.0, "embed": 50.0})
    assert list(part.phases_s)[-3:] == ["search", "embed", "download"]
    assert part.compute_s == pytest.approx(0.15)


durations = st.floats(0, 5000)


@given(
    st.lists(st.integers(0, 10_000 * MS), min_size=3, max_size=3),
    st.dictionaries(st.sampled_from(["read", "queue", "parse", "search", "fit", "other"]), durations, min_size=1),
)
def test_the_phases_add_up_to_the_response_time_and_none_is_negative(steps: list[int], own: dict[str, float]) -> None:
    uploaded, first, last = steps[0], steps[0] + steps[1], sum(steps)
    part = split_one(sent_ns=0, uploaded_ns=uploaded, first_byte_ns=first, last_byte_ns=last, phases_ms=own)
    assert sum(part.phases_s.values()) == pytest.approx(last / 1e9)
    assert min(part.phases_s.values()) >= -1e-9
    assert part.end_s() == pytest.approx(last / 1e9)
    assert 0 <= part.network_share <= 1 + 1e-9


@pytest.mark.parametrize(
    "missing",
    [{"sent_ns": None}, {"uploaded_ns": None}, {"first_byte_ns": None}, {"last_byte_ns": None}, {"phases_ms": {}}],
)
def test_without_all_its_times_a_repetition_is_not_split(missing: dict[str, Any]) -> None:
    assert phases.split([request(), request(request=1, **missing)]) is None


def points(*requests: Any, scenario: str = "edge") -> list[Repetition]:
    return [
        Repetition(scenario, "bs", number, 1, 1, 1.0, 0.9, 0.1, tuple(requests), 0, 2520, 630) for number in range(1, 9)
    ]


def test_half_of_the_time_on_the_network_is_not_network_bound_and_more_is() -> None:
    half = phases.regime(points(request(phases_ms={"search": 250.0})))
    more = phases.regime(points(request(phases_ms={"search": 240.0})))
    assert half is not None
    assert more is not None
    assert (half.word, more.word) == ("compute-bound", "network-bound")


def test_the_request_that_came_back_last_shows_where_the_time_went() -> None:
    slow = request(request=1, first_byte_ns=1900 * MS, last_byte_ns=1910 * MS, phases_ms={"search": 700.0})
    regime = phases.regime(points(request(), slow))
    assert regime is not None
    assert regime.phases_s["search"] == pytest.approx(0.7)


def test_with_slower_compute_the_slowest_of_the_parallel_requests_decides() -> None:
    networked = request(uploaded_ns=1380 * MS, phases_ms={"search": 70.0})
    computing = request(request=1, last_byte_ns=1490 * MS, first_byte_ns=1485 * MS, phases_ms={"search": 200.0})
    cloud = request(scenario="cloud", phases_ms={"search": 250.0})
    rescaled = rescaling.rescale(points(networked, computing), points(cloud, scenario="cloud"), paired=True)
    assert rescaled is not None
    at = {point.slower: point for point in rescaled.table}
    assert at[1.0].subject_s == pytest.approx(0.5)
    # 0.29 s of network and 0.2 s of compute exceed 0.43 and 0.07 as soon as compute is slower.
    assert at[10.0].subject_s == pytest.approx(0.29 + 2.0)
    assert at[10.0].reference_s == pytest.approx(0.25 + 2.5)
    assert at[0.1].subject_s == pytest.approx(0.43 + 0.007)


def test_the_place_where_the_ratio_is_the_papers_is_found() -> None:
    # edge 0.1 + 0.2 k, cloud 0.4 + 0.2 k: the ratio is 0.75 at k = 4.
    edge = request(uploaded_ns=1100 * MS, first_byte_ns=1300 * MS, last_byte_ns=1300 * MS, phases_ms={"search": 200.0})
    cloud = request(uploaded_ns=1400 * MS, first_byte_ns=1600 * MS, last_byte_ns=1600 * MS, phases_ms={"search": 200.0})
    rescaled = rescaling.rescale(points(edge), points(cloud, scenario="cloud"), paired=True)
    assert rescaled is not None
    assert rescaled.paper_at == pytest.approx((4.0,))


def test_unscaled_the_rescaled_medians_are_the_measured_ones() -> None:
    measured = gather(all_records()).scenarios
    rescaled = rescaling.rescale(measured["edge"], measured["cloud"], paired=True)
    assert rescaled is not None
    (here,) = [point for point in rescaled.table if point.slower == 1]
    times = sorted(one.response_s for one in measured["edge"])
    assert here.subject_s == pytest.approx((times[9] + times[10]) / 2)


def test_without_phases_nothing_is_rescaled() -> None:
    blank = request(phases_ms={})
    assert rescaling.rescale(points(blank), points(blank), paired=True) is None
    assert phases.regime(points(blank)) is None
