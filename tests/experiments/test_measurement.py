"""The driver as the base station runs it: detached, killed, started again, stopped; against a real server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from loopback import Function, Reply, Request, answer, function
from trial_nodes import inventory, only

from collect import records
from collect.records import ModelRecord, RequestRecord
from experiments.placement import place
from experiments.plan import as_json, draw

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
REPETITIONS = 3
POINT = {"C": 1.0, "fit_intercept": True, "loss": "hinge"}

ALLOWED = Path("/proc/sys/net/ipv4/tcp_allowed_congestion_control").read_text(encoding="ascii").split()
CUBIC = pytest.mark.skipif(
    os.geteuid() != 0 and "cubic" not in ALLOWED, reason="on this machine only root may use the scenario's cubic"
)


def trained(number: int, request: Request) -> Reply:
    """Reply with parameters that the base station can train with."""
    return Reply(json.dumps({**json.loads(answer(number, request).body), "best parameters": POINT}).encode())


def measurement(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "experiments.base_station", command, "--folder", str(folder)]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)


def told(command: str, folder: Path) -> dict[str, Any]:
    done = measurement(command, folder)
    assert done.returncode == 0, done.stderr
    answered: dict[str, Any] = json.loads(done.stdout)
    return answered


def followed(folder: Path) -> dict[str, Any]:
    """Follow a driver to its end, as roles/driver does."""
    while (status := told("follow", folder))["state"] not in ("done", "failed"):
        assert status["total"] in (0, REPETITIONS)
    return status


def samples(folder: Path) -> Path:
    return folder / "raw" / "samples.jsonl"


def pid_of(folder: Path) -> int:
    return int((folder / "driver.pid").read_text(encoding="utf-8"))


def session_of(leader: int) -> list[int]:
    """The processes that live in a session."""
    processes = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError, ValueError):
            state, _, _, session = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
            if int(session) == leader and state != "Z":
                processes.append(int(entry.name))
    return processes


@contextmanager
def planned(folder: Path) -> Iterator[Function]:
    """A run's folder on the base station, and the function that its plan names."""
    texts = [f"word{n % 7} thing{n % 5} {'moon cheese' if n % 2 else 'earth bread'}" for n in range(40)]
    labels = ["FAKE" if n % 2 else "REAL" for n in range(40)]
    experiment = only("edge", REPETITIONS)
    with function(trained) as served:
        drawn = draw(experiment, place(experiment, inventory()), run="trial", texts=len(texts), dataset="d", seed=1)
        plan = as_json(drawn)
        plan["scenarios"]["edge"]["url"] = served.url
        (folder / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
        (folder / "dataset.json").write_text(json.dumps({"x": texts, "y": labels}), encoding="utf-8")
        try:
            yield served
        finally:
            measurement("stop", folder)


def check_complete(folder: Path) -> None:
    """Every repetition has one model, and it rests on one whole pair of requests of the same attempt."""
    recorded = list(records.read(samples(folder)))
    models = [one for one in recorded if isinstance(one, ModelRecord)]
    assert [one.repetition for one in models] == list(range(REPETITIONS))
    for model in models:
        assert model.error is None
        requests = [one for one in recorded if isinstance(one, RequestRecord) and one.repetition == model.repetition]
        assert [one.request for one in requests if one.attempt == model.attempt] == [0, 1]


@CUBIC
def test_a_driver_that_was_killed_goes_on_and_measures_nothing_twice(tmp_path: Path) -> None:
    with planned(tmp_path) as served:
        served.hold_from(2)  # the second repetition's requests are under way, the first is on record
        assert told("start", tmp_path) == {"changed": True}
        assert told("start", tmp_path) == {"changed": False}, "one driver is enough"
        served.wait_for(4)
        os.killpg(pid_of(tmp_path), signal.SIGKILL)
        before = samples(tmp_path).read_bytes()
        died = followed(tmp_path)
        assert (died["state"], died["finished"]) == ("failed", 1)
        assert "the driver died" in died["error"]
        served.release()
        assert told("start", tmp_path) == {"changed": True}
        assert followed(tmp_path)["state"] == "done"
        assert samples(tmp_path).read_bytes().startswith(before)
        assert len(served.requests) == 2 * REPETITIONS + 2, "only what had no answer is sent again"
        check_complete(tmp_path)


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


@CUBIC
@pytest.mark.parametrize("torn", [1, 2], ids=["a request is missing", "the model is missing"])
def test_records_that_were_torn_by_a_crash_are_completed(tmp_path: Path, torn: int) -> None:
    with planned(tmp_path) as served:
        told("start", tmp_path)
        assert followed(tmp_path)["state"] == "done"
        lines = samples(tmp_path).read_bytes().splitlines(keepends=True)
        for _ in range(2):  # two crashes leave two torn attempts, which make no whole one
            kept = b"".join(lines[: torn + 3]) + lines[torn + 3][:50]
            samples(tmp_path).write_bytes(kept)
            told("start", tmp_path)
            assert followed(tmp_path)["state"] == "done"
            assert samples(tmp_path).read_bytes().startswith(kept)
        check_complete(tmp_path)
        # 3 repetitions; then twice the last one, and the second where a request of it was lost.
        assert len(served.requests) == 2 * (REPETITIONS + 2 * (2 if torn == 1 else 1))


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


@pytest.fixture
def links(tmp_path: Path) -> Path:
    """What the program that is asked for the links answers, and may be changed."""
    answer = tmp_path / "links.json"
    answer.write_text(json.dumps({"links": "these", "problem": None}))
    return answer


def start_over(links: Path) -> None:
    """Start the driver as roles/driver does where links are shaped."""
    words = [sys.executable, "-m", "experiments.base_station", "start", "--folder", str(links.parent)]
    subprocess.run([*words, "--links", json.dumps(["cat", str(links)])], cwd=ROOT, check=True, capture_output=True)


@CUBIC
def test_each_record_names_the_links_that_were_in_force(tmp_path: Path, links: Path) -> None:
    with planned(tmp_path):
        start_over(links)
        assert followed(tmp_path)["state"] == "done"
    assert {record.links for record in records.read(samples(tmp_path))} == {"these"}


@CUBIC
def test_nothing_is_measured_over_links_that_are_not_in_force(tmp_path: Path, links: Path) -> None:
    links.write_text(json.dumps({"links": None, "problem": "the lease expired"}))
    with planned(tmp_path) as served:
        start_over(links)
        ended = followed(tmp_path)
        assert (ended["state"], ended["finished"]) == ("failed", 0)
        assert ended["error"] == "the links are not in force: the lease expired"
        assert served.requests == []


@CUBIC
@pytest.mark.parametrize(
    ("links_now", "problem", "reason"),
    [
        (None, "the lease expired", "the links are not in force: the lease expired"),
        ("others", None, "the links are not in force: others were applied since the measurement began"),
    ],
)
def test_a_repetition_whose_links_end_in_the_middle_is_no_data_point_and_is_measured_again(
    tmp_path: Path, links: Path, links_now: str | None, problem: str | None, reason: str
) -> None:
    with planned(tmp_path) as served:
        served.hold_from(2)
        start_over(links)
        served.wait_for(4)
        before = links.read_text()
        links.write_text(json.dumps({"links": links_now, "problem": problem}))
        served.release()
        died = followed(tmp_path)
        assert (died["state"], died["finished"], died["error"]) == ("failed", 1, reason)
        ended = [one for one in records.read(samples(tmp_path)) if isinstance(one, ModelRecord)]
        assert [(one.error, one.links) for one in ended] == [(None, "these"), (reason, None)]
        links.write_text(before)
        start_over(links)
        assert followed(tmp_path)["state"] == "done"
    ended = [one for one in records.read(samples(tmp_path)) if isinstance(one, ModelRecord)]
    assert len({(one.repetition, one.warmup) for one in ended if not one.error}) == REPETITIONS == len(ended) - 1


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
        assert "plan.json: plan version 1, but this faasbed reads version 3: finish the run with" in status["error"]
        assert served.requests == []


def test_following_what_was_never_started_is_one_sentence(tmp_path: Path) -> None:
    done = measurement("follow", tmp_path)
    assert (done.returncode, done.stderr) == (1, f"{tmp_path}: no driver was started here\n")


@pytest.mark.skipif(os.geteuid() != 0, reason="a file system that fills up needs root to be mounted")
def test_a_full_disk_is_named_and_what_was_measured_stays(tmp_path: Path) -> None:
    with planned(tmp_path) as served:
        (tmp_path / "raw").mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(tmp_path / "raw")], check=True)
        try:
            filler = tmp_path / "raw" / "filler"
            served.hold_from(2)
            told("start", tmp_path)
            served.wait_for(4)
            before = samples(tmp_path).read_bytes()
            with suppress(OSError), filler.open("wb", buffering=0) as file:
                while True:
                    file.write(b"\0" * 512)
            served.release()
            status = followed(tmp_path)
            assert status["state"] == "failed"
            assert "disk of the base station is full" in status["error"]
            assert samples(tmp_path).read_bytes().startswith(before)
            filler.unlink()
            told("start", tmp_path)
            assert followed(tmp_path)["state"] == "done"
            check_complete(tmp_path)
        finally:
            measurement("stop", tmp_path)
            subprocess.run(["umount", str(tmp_path / "raw")], check=True)
