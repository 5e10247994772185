"""The driver is followed to its end: the lease is renewed meanwhile, and a lost connection is made again."""

from __future__ import annotations

import io
from typing import Any

import pytest
from playbook_record import Recorded
from rich.console import Console

from experiments import follow
from experiments.progress import Reporter
from nodes.answers import AnswerError, Answers
from nodes.errors import PlaybookError, UnreachableError
from nodes.inventory import Inventory


def status(*states: str) -> Answers:
    hosts = {f"bs-{number}": {"state": state} for number, state in enumerate(states)}
    return Answers("measure-follow", {"driver_status": hosts})


class Followed(Recorded):
    """Follows a measurement through what it is given, one entry a call."""

    def __init__(self, *follows: Answers | PlaybookError) -> None:
        super().__init__()
        self._follows = list(follows)

    def run(self, playbook: str, **variables: Any) -> Answers:
        answers = super().run(playbook, **variables)
        if playbook != "measure-follow":
            return answers
        outcome = self._follows.pop(0)
        if isinstance(outcome, PlaybookError):
            raise outcome
        return outcome


def followed(playbooks: Recorded, monkeypatch: pytest.MonkeyPatch, lease_s: float = 90) -> str:
    output = io.StringIO()
    monkeypatch.setattr(follow, "RECONNECT_PAUSE_S", 0)
    follow.follow(playbooks, Reporter(Console(file=output, width=200)), {}, lease_s)
    return output.getvalue()


def test_the_lease_is_renewed_for_as_long_as_a_base_station_measures(monkeypatch: pytest.MonkeyPatch) -> None:
    playbooks = Followed(status("running", "running"), status("done", "running"), status("done", "done"))
    followed(playbooks, monkeypatch)
    assert playbooks.names == ["measure-follow", "renew", "measure-follow", "renew", "measure-follow"]
    assert [seen["driver_follow_s"] for seen in playbooks.variables if seen] == [30, 30, 30]


LOST = Answers(
    "measure-follow",
    {"driver_status": {"bs": {"state": "failed", "lost": ["edge-2"], "finished": 7, "error": "edge-2 was lost"}}},
)


class Unrenewed(Followed):
    """Its nodes do not let their lease be renewed."""

    def __init__(self, error: PlaybookError, *follows: Answers | PlaybookError) -> None:
        super().__init__(*follows)
        self._refused = error

    def run(self, playbook: str, **variables: Any) -> Answers:
        if playbook == "renew":
            raise self._refused
        return super().run(playbook, **variables)


def test_a_driver_that_ended_because_a_node_was_lost_is_no_error() -> None:
    loss = follow.follow(Followed(status("running"), LOST), Reporter(Console(file=io.StringIO())), {}, 90)
    assert loss == follow.Loss(("edge-2",), 7, "edge-2 was lost")


@pytest.mark.parametrize(
    "refused",
    [UnreachableError("edge-2 is unreachable"), PlaybookError("edge-2 restarted after its links were applied")],
)
def test_where_a_lease_cannot_be_renewed_the_driver_is_asked_for_lost_nodes_first(refused: PlaybookError) -> None:
    playbooks = Unrenewed(refused, status("running"), LOST)
    loss = follow.follow(playbooks, Reporter(Console(file=io.StringIO())), {}, 90)
    assert loss is not None
    assert loss.nodes == ("edge-2",)
    assert playbooks.variables[-1]["driver_follow_s"] == follow.NOTICED_S


def test_a_lease_that_is_refused_while_no_node_is_lost_ends_the_measurement() -> None:
    playbooks = Unrenewed(PlaybookError("tc lists something else"), status("running"), status("running"))
    with pytest.raises(PlaybookError, match="tc lists something else"):
        follow.follow(playbooks, Reporter(Console(file=io.StringIO())), {}, 90)


def test_a_lost_connection_is_made_again_and_then_the_lease_is_renewed_first(monkeypatch: pytest.MonkeyPatch) -> None:
    lost = UnreachableError("bs is unreachable")
    playbooks = Followed(lost, status("running"), status("done"))
    output = followed(playbooks, monkeypatch)
    assert output.count("bs is unreachable: the driver goes on; connecting again") == 1
    assert "connected again after 0 s" in output
    assert playbooks.names == ["measure-follow", "renew", "measure-follow", "renew", "measure-follow"]


def test_a_node_that_stays_away_for_a_lease_ends_the_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnreachableError):
        followed(Recorded(UnreachableError("bs is unreachable")), monkeypatch, lease_s=0.05)


def test_an_expired_lease_ends_the_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PlaybookError, match="cleared themselves"):
        followed(Recorded(PlaybookError("the links of data0 cleared themselves")), monkeypatch)


def test_a_status_that_is_missing_is_no_end(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AnswerError, match="playbook measure-follow did not answer driver_status"):
        followed(Followed(Answers("measure-follow")), monkeypatch)


def test_the_lease_is_the_shortest_of_the_inventory_or_the_roles_default() -> None:
    hosts = {"nodes": ("bs", "edge-1")}
    assert follow.lease_s(Inventory("trial", hosts, {"bs": {"netem_lease_s": 90}, "edge-1": {}})) == 90
    assert follow.lease_s(Inventory("trial", hosts, {})) == 3600
