"""The driver as the base station runs it: detached, extended, started again, stopped; against a real server."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING

from measured import (
    CUBIC,
    REPETITIONS,
    beating,
    check_complete,
    followed,
    free_port,
    links_in,
    measurement,
    pid_of,
    planned,
    samples,
    session_of,
    start_over,
    told,
)

from collect import records
from collect.records import RequestRecord

if TYPE_CHECKING:
    from pathlib import Path


@CUBIC
def test_a_plan_that_is_extended_while_it_is_measured_is_measured_to_its_new_end(tmp_path: Path) -> None:
    with planned(tmp_path) as served:
        whole = json.loads((tmp_path / "plan.json").read_text("utf-8"))
        shorter = {**whole, "order": whole["order"][: REPETITIONS - 1]}
        (tmp_path / "plan.json").write_text(json.dumps(shorter), encoding="utf-8")
        served.hold_from(2)  # the last repetition of the shorter plan is under way
        told("start", tmp_path)
        served.wait_for(4)
        (tmp_path / "plan.json").write_text(json.dumps(whole), encoding="utf-8")
        assert told("start", tmp_path) == {"changed": False}
        served.release()
        while (status := told("follow", tmp_path))["state"] not in ("done", "failed"):
            assert status["total"] in (REPETITIONS - 1, REPETITIONS)
        assert (status["state"], status["finished"]) == ("done", REPETITIONS), status
        assert len(served.requests) == 2 * REPETITIONS, "nothing is measured twice"
        check_complete(tmp_path)


def test_before_each_repetition_nobody_asks_for_as_long_as_the_plan_says(tmp_path: Path) -> None:
    with planned(tmp_path):
        plan = json.loads((tmp_path / "plan.json").read_text("utf-8"))
        plan["scenarios"]["edge"]["idle_s"] = 0.5
        (tmp_path / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
        told("start", tmp_path)
        assert followed(tmp_path)["state"] == "done"
    requests = [one for one in records.read(samples(tmp_path)) if isinstance(one, RequestRecord)]
    for before, after in zip(requests[:-2], requests[2:], strict=True):
        assert after.repetition == before.repetition + 1
        assert after.intended_ns - (before.last_byte_ns or 0) >= 0.5e9


@CUBIC
def test_each_record_names_the_links_that_were_in_force(tmp_path: Path) -> None:
    with planned(tmp_path):
        start_over(links_in(tmp_path))
        assert followed(tmp_path)["state"] == "done"
    assert {record.links for record in records.read(samples(tmp_path))} == {"these"}


@CUBIC
def test_nothing_is_measured_over_links_that_are_not_in_force(tmp_path: Path) -> None:
    with planned(tmp_path) as served:
        start_over(links_in(tmp_path, None, "the lease expired"))
        ended = followed(tmp_path)
        assert (ended["state"], ended["finished"]) == ("failed", 0)
        assert ended["error"] == "the links are not in force: the lease expired"
        assert served.requests == []


def test_what_a_replica_answers_first_is_a_cold_start(tmp_path: Path) -> None:
    with planned(tmp_path):
        told("start", tmp_path)
        assert followed(tmp_path)["state"] == "done"
    requests = [one for one in records.read(samples(tmp_path)) if isinstance(one, RequestRecord)]
    first = {
        replica: next(one for one in requests if one.replica == replica)
        for replica in {one.replica for one in requests}
    }
    assert len(first) == 2
    for one in requests:
        assert one.cold == (one.repetition == first[one.replica].repetition)


def test_stop_ends_the_driver_and_its_trainer(tmp_path: Path) -> None:
    with planned(tmp_path) as served:
        served.hold_from(0)
        told("start", tmp_path)
        served.wait_for(2)
        leader = pid_of(tmp_path)
        assert len(session_of(leader)) == 2
        assert told("stop", tmp_path) == {"changed": True}
        assert session_of(leader) == []
        assert told("stop", tmp_path) == {"changed": False}


def test_a_plan_of_another_version_is_refused_in_one_sentence(tmp_path: Path) -> None:
    with planned(tmp_path) as served:
        plan = json.loads((tmp_path / "plan.json").read_text("utf-8"))
        (tmp_path / "plan.json").write_text(json.dumps({**plan, "version": 1}), encoding="utf-8")
        told("start", tmp_path)
        status = followed(tmp_path)
        assert status["state"] == "failed"
        assert "plan.json: plan version 1, but this faasbed reads version 5: finish the run with" in status["error"]
        assert served.requests == []


def test_following_what_was_never_started_is_one_sentence(tmp_path: Path) -> None:
    done = measurement("follow", tmp_path)
    assert (done.returncode, done.stderr) == (1, f"{tmp_path}: no driver was started here\n")


@CUBIC
def test_nothing_is_measured_before_every_node_was_heard(tmp_path: Path) -> None:
    port = free_port()
    with planned(tmp_path) as served, beating(port, "edge-1"):
        told("start", tmp_path, "--beats-port", str(port))
        died = followed(tmp_path)
        assert (died["state"], died["finished"], died["lost"]) == ("failed", 0, ["edge-2"])
        assert served.requests == []


@CUBIC
def test_a_port_for_the_nodes_that_another_program_has_is_named(tmp_path: Path) -> None:
    with planned(tmp_path), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
        told("start", tmp_path, "--beats-port", str(port), "--source", "127.0.0.1")
        assert followed(tmp_path)["error"] == (
            f"the nodes cannot be heard at 127.0.0.1:{port}/udp: Address already in use; end the program that has this port"
        )
