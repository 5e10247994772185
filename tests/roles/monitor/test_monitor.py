"""The load of nodes: sampled once a second by a program of its own, fetched with the run, gone with the role."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from ansible.module_utils.monitor import sampler
from ansible.module_utils.node.process import end
from processes import running
from testbed import ROOT, TrialLab, changed

from collect import load
from collect.folder import RunFolder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PROGRAM = ROOT / "roles" / "monitor" / "files" / "sampler.py"
RUN = "20261128-020000-paper-0a1b"
DEADLINE_S = 60


def wait_for(condition: Callable[[], Any]) -> None:
    until = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("ascii").splitlines()]


def test_a_sample_a_second_with_shares_of_the_time_of_all_cores(tmp_path: Path) -> None:
    target = tmp_path / "samples.jsonl"
    subprocess.run([sys.executable, str(PROGRAM), str(target), "2"], check=True, timeout=DEADLINE_S)
    samples = lines(target)
    assert len(samples) == 2
    assert samples[0]["at_s"] < samples[1]["at_s"] <= time.time()
    for sample in samples:
        assert 0 <= sample["cpu_percent"] + sample["steal_percent"] <= 100.1
        assert 0 < sample["memory_used_mib"] < sample["memory_mib"]


def test_what_was_spent_between_two_readings_is_what_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    scope: dict[str, Any] = {"__name__": "sampler"}
    exec(compile(PROGRAM.read_text("utf-8"), str(PROGRAM), "exec"), scope)  # noqa: S102 - a program, no module
    monkeypatch.setitem(scope, "memory_mib", lambda: (256.04, 1024.0))
    # user, nice, system, idle, iowait, irq, softirq, steal
    sample = scope["line"]([100, 0, 50, 1000, 10, 0, 0, 5], [130, 10, 60, 1040, 15, 0, 0, 10], [])
    assert (sample["cpu_percent"], sample["steal_percent"]) == (50.0, 5.0)
    assert (sample["memory_used_mib"], sample["memory_mib"], sample["frequency_mhz"]) == (256.0, 1024.0, None)


def test_a_sampler_ends_when_its_file_is_removed(tmp_path: Path) -> None:
    target = tmp_path / "samples.jsonl"
    with subprocess.Popen([sys.executable, str(PROGRAM), str(target), "3600"]) as running:
        wait_for(lambda: target.exists() and target.stat().st_size)
        target.unlink()
        assert running.wait(DEADLINE_S) == 0


def pod_event(kind: str, name: str, running: bool | None = None, **conditions: str) -> str:
    """An event of a watch as kubectl prints it, in a line or in many; a pod whose containers are not known yet has none."""
    status: dict[str, Any] = {"conditions": [{"type": key, "status": value} for key, value in conditions.items()]}
    if running is not None:
        states: list[dict[str, Any]] = [{"running": {}} if one else {"waiting": {}} for one in (True, running)]
        status["containerStatuses"] = [{"name": "user-container", "state": state} for state in states]
    indent = None if kind == "ADDED" else 4
    return json.dumps({"type": kind, "object": {"metadata": {"name": name}, "status": status}}, indent=indent) + "\n"


def test_each_state_of_a_pod_is_written_once_with_its_time_and_a_watch_that_ends_begins_again(folder: Path) -> None:
    events = [
        pod_event("ADDED", "cold-1"),
        pod_event("MODIFIED", "cold-1", PodScheduled="True", Ready="False"),
        pod_event("MODIFIED", "cold-1", running=False, PodScheduled="True", Ready="False"),
        pod_event("MODIFIED", "cold-1", running=True, PodScheduled="True", Ready="False"),
        pod_event("MODIFIED", "cold-1", running=True, PodScheduled="True", Ready="True"),
        pod_event("DELETED", "cold-1", running=True, PodScheduled="True", Ready="True"),
    ]
    folder.mkdir()
    for number, event in enumerate(events):
        (folder / f"event-{number}").write_text(event, "utf-8")
    # It ends, as it does when its server goes away, and hears all of it again.
    script = f"for one in {folder}/event-*; do cat $one; sleep 0.05; done; echo >>{folder}/ended"
    begun = sampler.start(folder, PROGRAM.read_text("utf-8"), 3600, {"pods": ["sh", "-c", script]})
    wait_for(lambda: len((folder / "ended").read_text("ascii")) > 1 if (folder / "ended").exists() else False)
    (target,) = folder.glob("pods-*.jsonl")
    told = lines(target)
    assert [(one["pod"], one["state"]) for one in told] == [
        ("cold-1", state) for state in ("created", "scheduled", "started", "ready", "gone")
    ]
    times_s = [one["at_s"] for one in told]
    assert times_s == sorted(set(times_s))
    end([begun.pid])
    begun.wait(DEADLINE_S)


def test_a_watch_ends_with_its_sampler(folder: Path) -> None:
    words = ["sh", "-c", f"echo $$ >{folder}/watch; exec sleep 3600"]
    begun = sampler.start(folder, PROGRAM.read_text("utf-8"), 3600, {"pods": words})
    wait_for(lambda: (folder / "watch").exists() and (folder / "watch").read_text("ascii"))
    watch = int((folder / "watch").read_text("ascii"))
    end([begun.pid])
    begun.wait(DEADLINE_S)
    wait_for(lambda: watch not in running())


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / RUN
    end(sampler.running(tmp_path))


def test_a_start_is_detached_found_again_and_writes_a_file_of_its_own(folder: Path) -> None:
    assert sampler.running(folder) == []
    first = sampler.start(folder, PROGRAM.read_text("utf-8"), 3600)
    wait_for(lambda: sampler.running(folder))
    (pid,) = sampler.running(folder)
    assert os.getsid(pid) == pid
    wait_for(lambda: os.getpriority(os.PRIO_PROCESS, pid) == 19)
    assert sampler.running(folder / "of-another-run") == []
    end([pid])
    first.wait(DEADLINE_S)
    time.sleep(0.002)  # files are named by milliseconds
    second = sampler.start(folder, PROGRAM.read_text("utf-8"), 3600)
    assert len(list(folder.glob("*.jsonl"))) == 2
    wait_for(lambda: sampler.running(folder))
    end(sampler.running(folder))
    second.wait(DEADLINE_S)
    sampler.remove(folder)
    assert not folder.exists()


def test_a_start_is_found_at_once_and_one_that_fails_is_an_error(folder: Path) -> None:
    for _ in range(20):  # a program that is being started has no command line yet
        begun = sampler.start(folder, PROGRAM.read_text("utf-8"), 3600)
        assert sampler.running(folder) == [begun.pid]
        end([begun.pid])
        begun.wait(DEADLINE_S)
    with pytest.raises(OSError, match="the sampler ended immediately with exit code 3"):
        sampler.start(folder, "raise SystemExit(3)", 3600)


def test_a_node_tells_of_its_links_at_the_beginning_and_at_the_end(folder: Path, tmp_path: Path) -> None:
    code = tmp_path / "netem" / "code" / "ansible" / "module_utils" / "netem"
    code.mkdir(parents=True)
    for package in (code, code.parent, code.parent.parent):
        (package / "__init__.py").touch()
    answer = tmp_path / "answer"
    (code / "in_force.py").write_text(
        f"import sys\nprint(open({str(answer)!r}).read().replace('ARGUMENTS', sys.argv[1]))"
    )
    answer.write_text('{"links": "a1", "problem": null}')
    begun = sampler.start(folder, PROGRAM.read_text("utf-8"), 3600, {"links": ["data0", str(tmp_path / "netem")]})
    (samples,) = folder.glob("*.jsonl")
    wait_for(lambda: len(samples.read_text("ascii").splitlines()) > 1)
    answer.write_text('{"links": "a1", "problem": "tc of ARGUMENTS is empty"}')
    end([begun.pid])
    begun.wait(DEADLINE_S)
    told = [sample.get("links_problem", "untold") for sample in lines(samples)]
    assert (told[0], told[-1]) == (None, "tc of data0 is empty")
    assert set(told[1:-1]) == {"untold"}
    answer.unlink()
    begun = sampler.start(folder, PROGRAM.read_text("utf-8"), 3600, {"links": ["data0", str(tmp_path / "netem")]})
    end([begun.pid])
    begun.wait(DEADLINE_S)
    newest = max(folder.glob("*.jsonl"))
    assert lines(newest)[-1]["links_problem"] == "it is unknown whether they are: the program that tells gave no answer"


@pytest.mark.lab(judges_links=False)
def test_all_nodes_are_sampled_and_fetched_and_nothing_is_left(lab: TrialLab, tmp_path: Path) -> None:
    play = {"hosts": "nodes", "gather_facts": False, "roles": [{"role": "monitor"}]}
    playbook = tmp_path / "monitor.yml"
    playbook.write_text(yaml.safe_dump([play]), encoding="utf-8")
    results = tmp_path / RUN
    known = ["-e", f"monitor_run={RUN}", "-e", f"monitor_results={results}"]

    def act(action: str, *arguments: str) -> dict[str, int]:
        return changed(lab.playbook(playbook, "-e", f"monitor_action={action}", *known, *arguments))

    assert set(act("start", "--check").values()) == {1}
    assert set(act("start").values()) == {1}
    assert set(act("start").values()) == {0}
    act("fetch")
    notes: list[str] = []
    (machine,) = load.machines(load.read(RunFolder(results), notes))
    assert notes == []
    assert set(machine.nodes) == {"bs", "edge-1", "edge-2", "cloud-1"}, "namespaces of one machine"
    assert machine.cores == os.cpu_count()
    assert machine.samples
    act("remove")
    assert set(act("remove").values()) == {0}
    assert lab.ssh("bs", "ls", f"{lab.state_dir}/monitor").returncode != 0
