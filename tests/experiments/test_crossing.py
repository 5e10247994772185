"""That requests cross the links: what the kernel measured on their connections, held against what links add."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING

from loopback import function
from measured import CUBIC, links_in, measurement, models, planned, requests, told

from collect import records
from experiments.base_station import crossing
from experiments.base_station.crossing import CONNECTIONS, Delays, RoundTrip
from experiments.base_station.exchange import Way, fire

if TYPE_CHECKING:
    from pathlib import Path


def test_a_round_trip_that_timestamps_tell_may_be_a_millisecond_too_short() -> None:
    links = Delays(50.0, 50.0, 0.0)
    assert crossing.problem("edge-1", RoundTrip(49.0, 1), links) is None
    assert crossing.problem("edge-1", RoundTrip(49.0, 0), links) == (
        "requests to edge-1 did not cross the links: the smallest round trip of the connection was 49.000 ms, the links "
        "there and back add at least 50.000 ms; see by which addresses and interfaces the two nodes reach each other "
        "(ip route get)"
    )


def test_links_that_add_nothing_and_connections_that_never_stood_prove_nothing() -> None:
    assert crossing.problem("edge-1", RoundTrip(0.0, 0), crossing.NOTHING) is None
    assert crossing.problem("edge-1", None, Delays(50.0, 50.0, 0.0)) is None
    assert crossing.problem_of_several("edge-1", [], Delays(50.0, 50.0, 0.0)) is None


def test_the_kernel_tells_the_round_trips_of_a_live_connection() -> None:
    with function() as listening:
        (exchange,) = fire(Way(url=listening.url, host="words", congestion_control="reno", timeout_s=20), [b"{}"])
        several = crossing.connect(listening.url, 20, "127.0.0.1")
    assert exchange.round_trip is not None
    connect_ms = ((exchange.connected_ns or 0) - (exchange.sent_ns or 0)) / 1e6
    assert 0 < exchange.round_trip.min_rtt_ms < connect_ms
    assert len(several) == CONNECTIONS
    assert all(0 < one.min_rtt_ms < 100 for one in several)
    with socket.socket() as alone:
        assert crossing.round_trip(alone) is None
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # nobody else gets the port, and nobody listens
        assert crossing.connect(f"http://127.0.0.1:{held.getsockname()[1]}/", 20) == []


def over(folder: Path, there_ms: float, back_ms: float) -> list[str]:
    """The driver's options where the links there and back add this much."""
    links = links_in(folder)
    drawn = {"lowest_ms": there_ms, "mean_ms": there_ms, "sigma_ms": 0.0}
    links.write_text(json.dumps({**json.loads(links.read_text()), "delays": {"edge-1": drawn}}))
    back = {"edge-1": {"lowest_ms": back_ms, "mean_ms": back_ms, "sigma_ms": 0.0}}
    return ["--links", json.dumps(["cat", str(links)]), "--delays-back", json.dumps(back)]


@CUBIC
def test_requests_that_do_not_cross_the_links_are_found_before_anything_is_measured(tmp_path: Path) -> None:
    with planned(tmp_path):
        assert set(told("check", tmp_path, *over(tmp_path, 0.0, 0.0))) == {"edge"}
        refused = measurement("check", tmp_path, *over(tmp_path, 20.0, 30.0))
    assert refused.returncode == 1
    assert (
        "scenario edge: requests to edge-1 do not cross the links: connections have a round trip of 0."
        in refused.stderr
    )
    assert "(mean of 30), the links there and back add 50.000 ms on average" in refused.stderr


@CUBIC
def test_a_repetition_whose_requests_did_not_cross_the_links_is_on_record_as_failed(tmp_path: Path) -> None:
    with planned(tmp_path, repetitions=1):
        told("start", tmp_path, *over(tmp_path, 20.0, 30.0))
        while (status := told("follow", tmp_path))["state"] not in ("done", "failed"):
            pass
    assert status["state"] == "done"
    (model,) = models(tmp_path)
    assert model.error is not None
    assert model.error.startswith(
        "requests to edge-1 did not cross the links: the smallest round trip of the connection"
    )
    for request in requests(tmp_path):
        assert request.error is not None
        assert request.links_rtt_ms == 50.0
        assert 0 < (request.min_rtt_ms or 0) < 50
        assert records.load(records.dump(request)) == request
