"""Nodes that leave and join while a run is measured, and what becomes of one that is away when its run is cut off."""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from controller import PATIENCE_S, ROOT, provision, small_run
from processes import with_words
from replica import eventually
from testbed import TrialLab, trial_lab

from collect import records
from collect.records import ChangeRecord, ModelRecord, RequestRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from controller import Controller, SmallRun

pytestmark = [pytest.mark.lab(judges_links=False), pytest.mark.long]

GATEWAY, LEAVES = "edge-1", "edge-2"
REPETITIONS = 2
# Nothing is judged, but the function is deployed again where a run goes on.
LEFT_OUT = "verify_links,verify_links_again,analyse"
# A replica ends and starts some seconds after it was told to, on a busy machine.
DRAINED_S, BACK_S, CUT_S, THERE_S, END_S = 1.0, 5.0, 15.0, 17.0, 19.0
PAIR: dict[str, Any] = {
    "title": "Two nodes, of which one leaves and joins",
    "links": [{"between": "all", "delay_ms": 5}],
    "function": {"nodes": ["edge"], "replicas": 2, "model": "mnb", "options": {"folds": 2}},
    "requests": {"timeout_s": 4},
    "traffic": {"arrivals": "constant", "rate_per_s": 5, "duration_s": END_S, "max_late_ms": 1000},
    "data": {"test_share": 0.4, "training_shares": [0.3]},
}
CHURN = [
    {"at_s": DRAINED_S, "nodes": [{"group": "edge", "away": 1}]},
    {"at_s": BACK_S, "nodes": [{"group": "edge"}]},
    {"at_s": CUT_S, "nodes": [{"group": "edge", "away": 1, "how": "cut"}]},
    {"at_s": THERE_S, "nodes": [{"group": "edge"}]},
]
STAYS_AWAY = [{"at_s": DRAINED_S, "nodes": [{"group": "edge", "away": 1}]}]


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrialLab]:
    """A base station and two nodes with the function."""
    folder = tmp_path_factory.mktemp("churn")
    with trial_lab(folder) as made:
        made.describe({"base_stations": ("bs",), "edge": (GATEWAY, LEAVES)})
        provision(made, folder, **PAIR)
        yield made


def serves(lab: TrialLab, node: str) -> bool:
    """Whether a node's replica answers."""
    state = lab.state_of(node)
    control = f"{ROOT}/.venv/bin/supervisorctl -c {state}/function/supervisord.conf status"
    return "RUNNING" in lab.ssh(node, control).stdout and not (state / "function" / "away").exists()


def stands_on(lab: TrialLab, node: str, pid: int) -> bool:
    """Whether a process is one of a node's."""
    return Path(f"/proc/{pid}/ns/net").stat().st_ino == Path(f"/run/netns/{lab.namespace(node)}").stat().st_ino


def measured(small: SmallRun) -> list[records.Record]:
    return list(records.read(next(small.results.iterdir()) / "raw" / "samples.jsonl"))


@contextmanager
def left(nodes: TrialLab, folder: Path) -> Iterator[tuple[SmallRun, Controller]]:
    """A run, and its controller, in which a node is away now that an event has drained."""
    small = small_run(nodes, folder, REPETITIONS, **PAIR, events=STAYS_AWAY)
    with small.begun(LEFT_OUT) as controller:
        controller.says("measure ...")
        eventually(lambda: not serves(nodes, LEAVES), "a node that is away", PATIENCE_S)
        yield small, controller


def goes_on(small: SmallRun) -> None:
    """Go on with a run to its end, which leaves each repetition with a result, once."""
    with small.resumed(LEFT_OUT) as controller:
        assert controller.ends() == 0, controller.output
    ends = [one for one in measured(small) if isinstance(one, ModelRecord) and not one.warmup and one.links]
    assert sorted(one.repetition for one in ends if one.error is None) == list(range(REPETITIONS))


@pytest.mark.fault(
    what="one of two nodes is drained by an event, and later cut off",
    step="measure",
    on="local",
    seen="requests meet the other one; those that the node cannot answer are results, counted and told with their reasons",
    ends="with the event that has the node join",
    reads=[],
)
def test_who_is_away_serves_nobody_and_what_it_cannot_answer_is_a_result(nodes: TrialLab, tmp_path: Path) -> None:
    small = small_run(nodes, tmp_path, REPETITIONS, **PAIR, events=CHURN)
    with small.begun(LEFT_OUT) as controller:
        assert controller.ends() == 0, controller.output
    found = [one for one in measured(small) if not one.warmup]
    models = [one for one in found if isinstance(one, ModelRecord)]
    assert [one.error for one in models] == [None] * REPETITIONS
    requests = [one for one in found if isinstance(one, RequestRecord)]
    for model, (_, of_repetition) in zip(models, groupby(requests, lambda one: one.repetition), strict=True):
        own = list(of_repetition)
        began_ns = own[0].intended_ns
        changes = [one for one in found if isinstance(one, ChangeRecord) and one.repetition == model.repetition]
        of_node = {one.event: one for one in changes if (one.source, one.target) == (LEAVES, None)}
        assert [of_node[number].shape for number in range(4)] == [
            "away, drained", "serves requests", "away, cut off", "serves requests",
        ]  # fmt: skip
        left_ns, back_ns, cut_ns = (of_node[number].changed_ns or 0 for number in range(3))
        assert (left_ns - began_ns) / 1e9 > DRAINED_S
        drained = [one for one in own if left_ns < one.intended_ns < began_ns + BACK_S * 1e9]
        assert drained
        assert {(one.node, one.error) for one in drained} == {(GATEWAY, None)}, "another replica is asked"
        links = {one.event for one in changes if one.target is not None}
        assert links == {2, 3}
        there_ns = began_ns + round(THERE_S * 1e9)
        cut = [one for one in own if cut_ns < one.intended_ns and (one.last_byte_ns or there_ns) < there_ns]
        assert {one.node for one in cut if not one.error} <= {GATEWAY}
        failed = [one for one in own if one.error]
        assert model.failed_requests == len(failed)
        assert all(one.failed_ns or one.last_byte_ns for one in failed)
        assert back_ns > left_ns
    assert serves(nodes, LEAVES)


@pytest.mark.fault(
    what="the driver is killed (-9) while a node is away that an event has drained",
    step="measure",
    on="local",
    seen="the node that carries events out sees the connection end, and its replicas start again",
    ends="within seconds; the run with the next start",
    reads="The driver on bs ended after … of … repetitions",
)
def test_a_node_that_is_away_joins_when_the_driver_is_killed(
    nodes: TrialLab, tmp_path: Path, reads: Callable[[str], None]
) -> None:
    with left(nodes, tmp_path) as (small, controller):
        for pid in with_words(b"experiments.base_station", b"\0run\0", controller.run.name.encode()):
            os.kill(pid, signal.SIGKILL)
        eventually(lambda: serves(nodes, LEAVES), "a node that has joined")
        assert controller.ends() != 0
    reads(controller.output)
    goes_on(small)


@pytest.mark.fault(
    what="the process that carries events out is killed (-9) while a node is away that it has drained",
    step="measure",
    on="local",
    seen="the driver ends, and the run's next start deploys the function, which has the node join",
    ends="with the next start",
    reads="edge-2, which carries out events, does not answer",
)
def test_a_node_that_is_left_away_joins_with_the_next_deploy(
    nodes: TrialLab, tmp_path: Path, reads: Callable[[str], None]
) -> None:
    with left(nodes, tmp_path) as (small, controller):
        (pid,) = (one for one in with_words(b"ansible.module_utils.netem.changes") if stands_on(nodes, LEAVES, one))
        os.kill(pid, signal.SIGKILL)
        assert controller.ends() != 0
    reads(controller.output)
    assert not serves(nodes, LEAVES)
    goes_on(small)
    assert serves(nodes, LEAVES)
