"""Faults of the base station in the middle of a measurement: its driver, trainer, memory, disk, clock and links."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from loopback import Function, Reply, Request
from measured import (
    CUBIC,
    REPETITIONS,
    ROOT,
    beating,
    check_complete,
    followed,
    free_port,
    links_in,
    measurement,
    models,
    pid_of,
    planned,
    requests,
    samples,
    start_over,
    told,
    trained,
    trainer_of,
)
from replica import eventually
from trial_nodes import only

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NEEDS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="a file system that fills up needs root to be mounted")
# More than a model of a few neurons takes beyond what a trainer has when it is ready, less than ROOMY takes.
ROOM_BYTES = 80 << 20
ROOMY = {"hidden_layer_sizes": [1000] * 4, "activation": "relu", "learning_rate_init": 0.001}
SMALL = {"hidden_layer_sizes": [3, 3], "activation": "relu", "learning_rate_init": 0.001}


def reported(folder: Path) -> str:
    """Write the report of a run that has nothing but its plan and records; return what was printed, and the page."""
    run = folder / "results" / "trial"
    shutil.copytree(folder / "raw", run / "raw")
    (run / "scenario.yaml").write_text(yaml.safe_dump(only("edge", REPETITIONS).model_dump(mode="json")), "utf-8")
    (run / "manifest.json").write_text(json.dumps({"run": "trial"}), "utf-8")
    command = [sys.executable, "-m", "collect", "report", "trial", "--results", str(run.parent)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=600)
    return done.stdout + (run / "report.html").read_text("utf-8")


def with_parameters(parameters: dict[str, Any], number: int, request: Request) -> Reply:
    return Reply(json.dumps({**json.loads(trained(number, request).body), "best parameters": parameters}).encode())


def grow_no_further(pid: int, room_bytes: int) -> None:
    """Let the kernel refuse a process, and all that it starts, more memory than it has and this much."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + room_bytes
    resource.prlimit(pid, resource.RLIMIT_AS, (limit, limit))


def kill_before_the_second_model(folder: Path, served: Function) -> None:
    """Start a driver, and kill it when the second repetition's requests are on record and its model is not."""
    served.hold_from(2)
    told("start", folder)
    served.wait_for(4)
    os.kill(trainer_of(folder), signal.SIGSTOP)
    served.release()
    eventually(lambda: len(requests(folder)) == 4, "the second repetition's requests on record")
    os.killpg(pid_of(folder), signal.SIGKILL)


@CUBIC
@pytest.mark.fault(
    what="the driver is killed (-9) in a repetition",
    step="measure",
    on="loopback",
    seen="started again, it measures that repetition again; of those that were finished none",
    ends="with the next start",
    reads="the driver died: it was killed, for example because the memory of the base station was full",
)
def test_a_driver_that_was_killed_goes_on_and_measures_nothing_twice(
    tmp_path: Path, reads: Callable[[str], None]
) -> None:
    with planned(tmp_path) as served:
        served.hold_from(2)  # the second repetition's requests are under way, the first is on record
        assert told("start", tmp_path) == {"changed": True}
        assert told("start", tmp_path) == {"changed": False}, "one driver is enough"
        served.wait_for(4)
        os.killpg(pid_of(tmp_path), signal.SIGKILL)
        before = samples(tmp_path).read_bytes()
        died = followed(tmp_path)
        assert (died["state"], died["finished"]) == ("failed", 1)
        reads(died["error"])
        served.release()
        assert told("start", tmp_path) == {"changed": True}
        assert followed(tmp_path)["state"] == "done"
        assert samples(tmp_path).read_bytes().startswith(before)
        assert len(served.requests) == 2 * REPETITIONS + 2, "only what had no answer is sent again"
        check_complete(tmp_path)


@CUBIC
@pytest.mark.long
@pytest.mark.fault(
    what="the driver is killed (-9) between the replies of a repetition and its end",
    step="measure",
    on="loopback",
    seen="started again, it trains that repetition's model from the replies that are on record; nothing is sent again",
    ends="with the next start",
    reads="the driver died: it was killed, for example because the memory of the base station was full",
)
def test_replies_on_record_are_not_asked_for_again(tmp_path: Path, reads: Callable[[str], None]) -> None:
    with planned(tmp_path) as served:
        kill_before_the_second_model(tmp_path, served)
        assert [model.repetition for model in models(tmp_path)] == [0]
        reads(followed(tmp_path)["error"])
        told("start", tmp_path)
        assert followed(tmp_path)["state"] == "done"
        assert len(served.requests) == 2 * REPETITIONS, "nothing is sent twice"
        check_complete(tmp_path)


@CUBIC
@pytest.mark.long
@pytest.mark.parametrize("torn", [1, 2], ids=["a request is missing", "the model is missing"])
@pytest.mark.fault(
    what="the base station crashes while a record is written: its line is torn",
    step="measure",
    on="loopback",
    seen="the torn line stays where it is; what it belonged to is measured again, or only finished again",
    ends="with the next start",
    reads="1 torn line of samples.jsonl skipped: the driver was killed while writing.",
)
def test_records_that_were_torn_by_a_crash_are_completed(
    tmp_path: Path, torn: int, reads: Callable[[str], None]
) -> None:
    with planned(tmp_path) as served:
        told("start", tmp_path)
        assert followed(tmp_path)["state"] == "done"
        lines = samples(tmp_path).read_bytes().splitlines(keepends=True)
        for _ in range(2):
            kept = b"".join(lines[: torn + 3]) + lines[torn + 3][:50]
            samples(tmp_path).write_bytes(kept)
            told("start", tmp_path)
            assert followed(tmp_path)["state"] == "done"
            assert samples(tmp_path).read_bytes().startswith(kept)
        check_complete(tmp_path)
        # 3 repetitions; then twice the last one, and the second where a request of it was lost.
        assert len(served.requests) == 2 * (REPETITIONS + 2 * (2 if torn == 1 else 1))
    reads(reported(tmp_path))


@CUBIC
@pytest.mark.long
@pytest.mark.fault(
    what="the power of the base station fails: zeros stand at the end of the records",
    step="measure",
    on="loopback",
    seen="the zeros stay where they are and count as a torn line; the repetition they belonged to is finished again",
    ends="with the next start",
    reads="1 torn line of samples.jsonl skipped: the driver was killed while writing.",
)
def test_zeros_that_a_power_cut_left_are_passed_over(tmp_path: Path, reads: Callable[[str], None]) -> None:
    with planned(tmp_path) as served:
        kill_before_the_second_model(tmp_path, served)
        kept = samples(tmp_path).read_bytes() + bytes(4096)  # the file system has its length, and not what was in it
        samples(tmp_path).write_bytes(kept)
        told("start", tmp_path)
        assert followed(tmp_path)["state"] == "done"
        assert samples(tmp_path).read_bytes().startswith(kept)
        assert len(served.requests) == 2 * REPETITIONS, "nothing is sent twice"
        check_complete(tmp_path)
    reads(reported(tmp_path))


@CUBIC
@pytest.mark.fault(
    what="the base station's trainer is killed in a training, as the kernel does when memory is full",
    step="measure",
    on="loopback",
    seen="the trainer is started again and finishes that repetition; nothing is sent again",
    ends="at once",
    reads=[],
)
def test_a_trainer_that_is_killed_is_started_again(tmp_path: Path, reads: Callable[[str], None]) -> None:
    with planned(tmp_path) as served:
        served.hold_from(2)
        told("start", tmp_path)
        served.wait_for(4)
        trainer = trainer_of(tmp_path)
        os.kill(trainer, signal.SIGSTOP)
        served.release()
        eventually(lambda: len(requests(tmp_path)) == 4, "the second repetition's requests on record")
        os.kill(trainer, signal.SIGKILL)
        ended = followed(tmp_path)
        assert (ended["state"], ended["finished"]) == ("done", REPETITIONS)
        assert len(served.requests) == 2 * REPETITIONS
        check_complete(tmp_path)
        reads(json.dumps(ended))


@CUBIC
@pytest.mark.long
@pytest.mark.fault(
    what="the memory of the base station is too small for the training of one repetition",
    step="measure",
    on="loopback",
    seen="the trainer is started again and ends again: that repetition failed, the driver goes on with the next one",
    lost="the model of that repetition",
    ends="at once",
    reads="the base station's trainer ended 2 times in this training, …: is the memory of the base station full? "
    "raw/driver.log has its last words",
)
def test_a_training_that_needs_more_memory_than_there_is_is_a_failed_repetition(
    tmp_path: Path, reads: Callable[[str], None]
) -> None:
    def respond(number: int, request: Request) -> Reply:
        return with_parameters(ROOMY if number // 2 == 1 else SMALL, number, request)

    with planned(tmp_path, respond) as served:
        plan = json.loads((tmp_path / "plan.json").read_text("utf-8"))
        plan["scenarios"]["edge"]["settings"]["model"] = "mlpc"
        (tmp_path / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
        served.hold_from(0)
        told("start", tmp_path)
        served.wait_for(2)
        trainer = trainer_of(tmp_path)
        grow_no_further(trainer, ROOM_BYTES)
        limit = resource.prlimit(trainer, resource.RLIMIT_AS)
        resource.prlimit(pid_of(tmp_path), resource.RLIMIT_AS, limit)  # and so each trainer that it starts
        served.release()
        ended = followed(tmp_path)
        assert (ended["state"], ended["finished"]) == ("done", REPETITIONS), ended
        assert [model.error is None for model in models(tmp_path)] == [True, False, True]
        assert len(served.requests) == 2 * REPETITIONS
        reads(str(models(tmp_path)[1].error))


@CUBIC
@pytest.mark.long
@pytest.mark.fault(
    what="the memory of the base station is too small for its trainer to start",
    step="measure",
    on="loopback",
    seen="the driver stops before the first request; started again with more memory, it measures",
    ends="with the next start",
    reads="the base station's trainer ended before its first training, …: is the memory of the base station full? "
    "driver.log has its last words; resume the run when there is room",
)
def test_a_trainer_that_cannot_start_ends_the_driver_before_it_measures(
    tmp_path: Path, reads: Callable[[str], None]
) -> None:
    with planned(tmp_path) as served:
        limit = 280 << 20  # the driver takes less address space, a trainer with its compiled kernels more
        program = [sys.executable, "-m", "experiments.base_station", "start", "--folder", str(tmp_path)]
        subprocess.run(["prlimit", f"--as={limit}", *program], cwd=ROOT, check=True, capture_output=True)
        died = followed(tmp_path)
        assert (died["state"], died["finished"]) == ("failed", 0)
        reads(died["error"])
        assert served.requests == []
        told("start", tmp_path)
        assert followed(tmp_path)["state"] == "done"
        check_complete(tmp_path)


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """Give the driver a file system of its own, and return the file that can fill it."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)], check=True)
    try:
        yield folder / "filler"
    finally:
        measurement("stop", folder)
        subprocess.run(["umount", str(folder)], check=True)


@CUBIC
@NEEDS_ROOT
@pytest.mark.fault(
    what="the disk of the base station is full, then has room again",
    step="measure",
    on="loopback",
    seen="the driver stops, and none is started; with room again, a start goes on with that repetition",
    ends="with the next start after there is room",
    reads="the disk of the base station is full (…); make room and go on",
)
def test_a_full_disk_is_named_and_what_was_measured_stays(tmp_path: Path, reads: Callable[[str], None]) -> None:
    with small_disk(tmp_path) as filler, planned(tmp_path) as served:
        served.hold_from(2)
        told("start", tmp_path)
        served.wait_for(4)
        before = samples(tmp_path).read_bytes()
        with suppress(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(512))
        served.release()
        status = followed(tmp_path)
        assert (status["state"], status["finished"]) == ("failed", 1)
        reads(status["error"])
        assert samples(tmp_path).read_bytes().startswith(before)
        again = measurement("start", tmp_path)
        assert again.returncode == 1
        reads(again.stderr)
        filler.unlink()
        told("start", tmp_path)
        assert followed(tmp_path)["state"] == "done"
        check_complete(tmp_path)


@CUBIC
@pytest.mark.long
@pytest.mark.parametrize("altered", ["the plan", "the data set"])
@pytest.mark.fault(
    what="the plan or the data set on the base station is altered between two starts",
    step="measure",
    on="loopback",
    seen="the driver refuses to go on and sends nothing; with the file restored it goes on",
    ends="when the file is restored",
    reads="it was altered since the run began; restore it, or begin a new run",
)
def test_a_plan_or_data_set_that_was_altered_is_refused(
    tmp_path: Path, altered: str, reads: Callable[[str], None]
) -> None:
    path = tmp_path / ("plan.json" if altered == "the plan" else "dataset.json")
    with planned(tmp_path) as served:
        served.hold_from(2)
        told("start", tmp_path)
        served.wait_for(4)
        told("stop", tmp_path)
        served.release()
        before = path.read_text("utf-8")
        content = json.loads(before)
        if altered == "the plan":
            content["scenarios"]["edge"]["training_shares"] = [0.3, 0.3]
        else:
            content["y"].reverse()
        path.write_text(json.dumps(content), encoding="utf-8")
        told("start", tmp_path)
        refused = followed(tmp_path)
        assert refused["state"] == "failed"
        reads(refused["error"])
        assert str(path.name) in refused["error"]
        assert len(served.requests) == 4
        path.write_text(before, encoding="utf-8")
        told("start", tmp_path)
        assert followed(tmp_path)["state"] == "done"
        check_complete(tmp_path)


@CUBIC
@pytest.mark.parametrize(
    ("links_now", "problem", "reason"),
    [
        (None, "the lease expired", "the links are not in force: the lease expired"),
        ("others", None, "the links are not in force: others were applied since the measurement began"),
    ],
)
@pytest.mark.fault(
    what="the lease of the links ends, or others are applied, while a repetition is measured",
    step="measure",
    on="loopback",
    seen="that repetition is on record as failed and does not count; the driver stops, and started again it measures "
    "that repetition again",
    ends="with the next start over links that are in force",
    reads="the links are not in force: …",
)
def test_a_repetition_whose_links_end_in_the_middle_is_no_data_point_and_is_measured_again(
    tmp_path: Path, links_now: str | None, problem: str | None, reason: str, reads: Callable[[str], None]
) -> None:
    links = links_in(tmp_path)
    with planned(tmp_path) as served:
        served.hold_from(2)
        start_over(links)
        served.wait_for(4)
        links_in(tmp_path, links_now, problem)
        served.release()
        died = followed(tmp_path)
        assert (died["state"], died["finished"], died["error"]) == ("failed", 1, reason)
        reads(died["error"])
        assert [(one.error, one.links) for one in models(tmp_path)] == [(None, "these"), (reason, None)]
        links_in(tmp_path)
        start_over(links)
        assert followed(tmp_path)["state"] == "done"
    ended = models(tmp_path)
    assert len({(one.repetition, one.warmup) for one in ended if not one.error}) == REPETITIONS == len(ended) - 1


@CUBIC
@pytest.mark.fault(
    what="a node of the replicas falls silent while requests are out",
    step="measure",
    on="loopback",
    seen="within 10 s these requests are given up, their repetition is on record as failed with that reason, and the driver "
    "ends; started again, it measures that repetition again",
    ends="with the next start, when the node is back",
    reads="edge-2 was lost: silent for 10 s",
)
def test_requests_of_a_node_that_falls_silent_are_given_up_and_sent_again(
    tmp_path: Path, reads: Callable[[str], None]
) -> None:
    links, port = links_in(tmp_path), free_port()
    start = ["--links", json.dumps(["cat", str(links)]), "--beats-port", str(port), "--source", "127.0.0.1"]
    with planned(tmp_path) as served, beating(port, "edge-1"):
        served.hold_from(2)
        with beating(port, "edge-2"):
            told("start", tmp_path, *start)
            served.wait_for(4)
        died = followed(tmp_path)
        assert (died["state"], died["finished"], died["lost"]) == ("failed", 1, ["edge-2"])
        reads(died["error"])
        failed = [(one.repetition, one.error) for one in requests(tmp_path) if one.links is None or one.error]
        assert failed == [(1, died["error"])] * 2
        served.release()
        with beating(port, "edge-2"):
            told("start", tmp_path, *start)
            assert followed(tmp_path)["state"] == "done"
    ended = models(tmp_path)
    assert [one.repetition for one in ended if not one.error] == list(range(REPETITIONS))
    assert [one.links for one in ended if one.error] == [None]


# A machine's time of day as these processes alone see it: so many seconds off as a file says, at each look.
CLOCK = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

int clock_gettime(clockid_t clock, struct timespec *now) {
  static int (*real)(clockid_t, struct timespec *);
  if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
  int result = real(clock, now);
  FILE *file = clock == CLOCK_REALTIME && getenv("OFFSET") ? fopen(getenv("OFFSET"), "r") : NULL;
  long seconds = 0;
  if (file) {
    if (fscanf(file, "%ld", &seconds) == 1) now->tv_sec += seconds;
    fclose(file);
  }
  return result;
}
"""


@CUBIC
@pytest.mark.long
@pytest.mark.fault(
    what="the clock of the base station is set back by a day while a repetition is measured, then forward by ten",
    step="measure",
    on="loopback",
    seen="nothing: times are taken from a clock that is not set; only the times of day in the records step",
    ends="at once",
    reads=[],
)
def test_a_clock_that_is_set_changes_no_response_time(tmp_path: Path, reads: Callable[[str], None]) -> None:
    library, offset = tmp_path / "clock.so", tmp_path / "offset"
    if shutil.which("cc") is None:
        pytest.skip("the clock of a process can only be set with a C compiler: apt-get install gcc")
    (tmp_path / "clock.c").write_text(CLOCK)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", str(library), str(tmp_path / "clock.c"), "-ldl"], check=True)
    offset.write_text("0")
    faked = {"LD_PRELOAD": str(library), "OFFSET": str(offset)}

    def respond(number: int, request: Request) -> Reply:
        days = {0: -1, 2: 10}
        if number in days:
            offset.write_text(str(days[number] * 86_400))
        return trained(number, request)

    before_ns = time.monotonic_ns()
    with planned(tmp_path, respond):
        told("start", tmp_path, **faked)
        ended = followed(tmp_path)
    assert (ended["state"], ended["finished"]) == ("done", REPETITIONS)
    reads(json.dumps(ended))
    check_complete(tmp_path)
    days = [datetime.fromisoformat(request.started_at).toordinal() for request in requests(tmp_path)[::2]]
    assert days[1] < days[0] < days[2], "the clock was set"
    times = [before_ns, *(one.intended_ns for one in requests(tmp_path)[::2]), time.monotonic_ns()]
    assert times == sorted(times)
    for model in models(tmp_path):
        assert 0 < (model.response_time_ms or 0) * 1e6 < times[-1] - times[0]
    page = reported(tmp_path)
    assert "cannot be true" not in page
