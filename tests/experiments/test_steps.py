"""The links are cleared whatever happens, and the first error is the one that is told."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from rich.console import Console

from experiments import steps
from experiments.progress import Reporter
from experiments.steps import links_cleared
from nodes.errors import PlaybookError, UnreachableError
from nodes.inventory import Inventory
from nodes.playbooks import Playbooks


class Recorded(Playbooks):
    """Stands where playbooks are run: remembers their names, and fails when a test says so."""

    def __init__(self, error: PlaybookError | None = None) -> None:
        self.names: list[str] = []
        self._error = error

    def run(self, playbook: str, **_: Any) -> dict[str, Any]:
        self.names.append(playbook)
        if self._error:
            raise self._error
        return {}


@pytest.fixture
def output() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def reporter(output: io.StringIO) -> Reporter:
    return Reporter(Console(file=output, width=200, highlight=False))


def test_links_are_cleared_at_the_end(reporter: Reporter) -> None:
    playbooks = Recorded()
    with links_cleared(playbooks, reporter):
        assert playbooks.names == []
    assert playbooks.names == ["clear"]


@pytest.mark.parametrize("error", [PlaybookError("the gate refused"), KeyboardInterrupt(), ZeroDivisionError()])
def test_links_are_cleared_on_failure_and_on_ctrl_c(reporter: Reporter, error: BaseException) -> None:
    playbooks = Recorded()
    with pytest.raises(type(error)), links_cleared(playbooks, reporter):
        raise error
    assert playbooks.names == ["clear"]


def test_a_failure_to_clear_does_not_hide_the_first_error(reporter: Reporter, output: io.StringIO) -> None:
    playbooks = Recorded(PlaybookError("bs is unreachable"))
    with pytest.raises(PlaybookError, match="the gate refused"), links_cleared(playbooks, reporter):
        raise PlaybookError("the gate refused")
    assert "the links could not be cleared: bs is unreachable" in output.getvalue()


def test_a_failure_to_clear_after_success_is_an_error(reporter: Reporter) -> None:
    with (
        pytest.raises(PlaybookError, match="bs is unreachable"),
        links_cleared(Recorded(PlaybookError("bs is unreachable")), reporter),
    ):
        pass


def followed(*states: str) -> dict[str, Any]:
    hosts = {f"bs-{number}": {"stdout": json.dumps({"state": state})} for number, state in enumerate(states)}
    return {"Follow the measurement": hosts}


class Followed(Recorded):
    """Follows a measurement through what it is given, one entry a call."""

    def __init__(self, *follows: dict[str, Any] | PlaybookError) -> None:
        super().__init__()
        self._follows = list(follows)
        self.follow_s: list[float] = []

    def run(self, playbook: str, **variables: Any) -> dict[str, Any]:
        super().run(playbook)
        if playbook != "measure-follow":
            return {}
        self.follow_s.append(variables["driver_follow_s"])
        follow = self._follows.pop(0)
        if isinstance(follow, PlaybookError):
            raise follow
        return follow


def measured(playbooks: Recorded, reporter: Reporter, monkeypatch: pytest.MonkeyPatch, **variables: Any) -> None:
    inventory = Inventory("two", {}, {"bs-0": variables, "bs-1": {}})
    monkeypatch.setattr(steps.Context, "variables", lambda _: {})
    monkeypatch.setattr(steps, "RECONNECT_PAUSE_S", 0)
    steps.measure(steps.Context(None, None, inventory, playbooks, reporter, "", 1))  # type: ignore[arg-type]


def test_the_links_lease_is_renewed_for_as_long_as_a_base_station_measures(
    reporter: Reporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    playbooks = Followed(followed("running", "running"), followed("done", "running"), followed("done", "done"))
    measured(playbooks, reporter, monkeypatch, netem_lease_s=90)
    follow = ["measure-follow", "renew"]
    assert playbooks.names == ["renew", "measure-start", *follow, *follow, "measure-follow"]
    assert playbooks.follow_s == [30, 30, 30]


def test_a_lost_connection_is_made_again_and_its_failures_are_counted_in_a_row(
    reporter: Reporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = UnreachableError("bs is unreachable")
    enough = [lost] * (steps.RECONNECTS - 1)
    measured(Followed(*enough, followed("running"), *enough, followed("done")), reporter, monkeypatch)
    with pytest.raises(UnreachableError):
        measured(Followed(*enough, lost), reporter, monkeypatch)


def test_a_lease_that_lapsed_ends_the_measurement(reporter: Reporter, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PlaybookError, match="cleared themselves"):
        measured(Recorded(PlaybookError("the links of data0 cleared themselves")), reporter, monkeypatch)
