"""Nodes that leave and join by a command, and processes that compute beside replicas."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from threading import Event

from ansible.module_utils.node.busy import Busy
from ansible.module_utils.node.leaving import Leaving
from processes import children
from replica import eventually

# Long on any machine but one that stands still.
WITHIN_S = 120.0


def command(folder: Path, script: str) -> Path:
    program = folder / "node"
    program.write_text(f"#!/bin/sh\n{script}\n", "utf-8")
    program.chmod(0o755)
    return program


def test_nodes_leave_and_join_one_after_the_other_while_others_go_on(tmp_path: Path) -> None:
    # Each takes until it is let go, so what comes later would be first.
    script = f'echo "$1 $2" >>{tmp_path}/done; while [ ! -e {tmp_path}/go ]; do sleep 0.02; done'
    leaving = Leaving(command(tmp_path, script))
    times_ns: list[int] = []
    began_ns = time.monotonic_ns()
    leaving.want("edge-2", is_away=True, done=times_ns.append)
    leaving.want("edge-2", is_away=False, done=times_ns.append)
    assert times_ns == []
    tmp_path.joinpath("go").touch()
    leaving.all_back()
    assert (tmp_path / "done").read_text("utf-8").splitlines() == ["leave edge-2", "join edge-2"]
    assert began_ns < times_ns[0] < times_ns[1]
    assert leaving.error is None


def test_who_is_away_at_the_end_joins_again(tmp_path: Path) -> None:
    leaving = Leaving(command(tmp_path, f'echo "$1 $2" >>{tmp_path}/done'))
    done = Event()
    leaving.want("edge-2", is_away=True, done=lambda _: done.set())
    assert done.wait(WITHIN_S)
    leaving.all_back()
    assert (tmp_path / "done").read_text("utf-8").splitlines() == ["leave edge-2", "join edge-2"]


def test_a_node_that_is_there_is_not_asked_to_join(tmp_path: Path) -> None:
    leaving = Leaving(tmp_path / "not there")
    times_ns: list[int] = []
    leaving.want("edge-2", is_away=False, done=times_ns.append)
    leaving.all_back()
    assert len(times_ns) == 1
    assert leaving.error is None


def test_why_a_node_cannot_leave_is_a_sentence(tmp_path: Path) -> None:
    leaving = Leaving(command(tmp_path, "echo 'the cluster refused it' >&2; exit 1"))
    leaving.want("edge-2", is_away=True, done=lambda _: None)
    leaving.all_back()
    assert leaving.error == "edge-2 cannot leave: the cluster refused it"


def has_computed(pid: int) -> bool:
    """Whether a process has computed for more than five ticks of the kernel's clock; it has to be there."""
    state, *numbers = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    assert state != "Z", f"process {pid} has ended: {numbers}"
    return sum(map(int, numbers[10:12])) > 5


def test_processes_compute_on_the_cores_that_they_may_use_until_they_are_ended() -> None:
    core = min(os.sched_getaffinity(0))
    before = children(os.getpid())
    busy = Busy(os.getpid(), [core])
    busy.be(2)
    try:
        started = children(os.getpid()) - before
        assert len(started) == 2
        for pid in started:
            eventually(partial(has_computed, pid), "a process that computes", WITHIN_S)
            assert os.sched_getaffinity(pid) == {core}
        busy.be(1)
        assert len(children(os.getpid()) - before) == 1
    finally:
        busy.be(0)
    assert children(os.getpid()) == before


def test_they_end_with_whoever_started_them() -> None:
    script = (
        "import os, signal; from busy import Busy; Busy(os.getpid(), os.sched_getaffinity(0)).be(1); "
        "print('ready', flush=True); signal.pause()"
    )
    beside = {**os.environ, "PYTHONPATH": str(Path(inspect.getfile(Busy)).parent)}
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env=beside) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        (child,) = children(process.pid)
        process.kill()
    eventually(lambda: not Path(f"/proc/{child}").exists(), "the end of what it started", WITHIN_S)
