"""A controller that carries out a small run on a lab, in a process of its own that a test may kill, stop or wake."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from replica import eventually
from testbed import run

from collect import records
from collect.records import ModelRecord, RequestRecord

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbed import TrialLab

ROOT = Path(__file__).resolve().parent.parent.parent
# `python -m experiments` without the steps that a test is not about, which its first argument names.
PROGRAM = """
import sys
from experiments import __main__, steps
left_out = sys.argv[1].split(",")
steps.STEPS = tuple(step for step in steps.STEPS if step.__name__ not in left_out)
sys.exit(__main__.main(sys.argv[2:]))
"""
# Whatever a step does, on a machine that does other things as well.
PATIENCE_S = 1800
# Longer than any test.
LEASE_S = 3600
# The function stands, the links are not judged, nobody reads the report.
MEASURED_ONLY = "verify_links,deploy_function,verify_links_again,analyse"
SCENARIO = {
    "name": "small",
    "title": "One node, 20 ms away",
    "links": [{"between": ["base_stations", "edge"], "delay_ms": 20, "jitter_ms": 4}],
    "function": {"nodes": ["edge"], "replicas": 1, "model": "mnb", "options": {"folds": 2}},
    "requests": {"parallel": 1, "idle_s": 1, "timeout_s": 15},
    "data": {"test_share": 0.4, "training_shares": [0.6]},
    "warmups": 1,
}
WORDS = {"sport": ["ball", "team", "goal", "player", "match"], "tech": ["chip", "code", "network", "server", "data"]}


@dataclass
class Controller:
    """`python -m experiments experiment`, at work: what it printed is in `log`, its run in `results`."""

    process: subprocess.Popen[bytes]
    log: Path
    results: Path

    @property
    def output(self) -> str:
        return self.log.read_text("utf-8")

    @property
    def run(self) -> Path:
        return next(self.results.iterdir())

    def says(self, words: str) -> None:
        """Wait until it has printed these words."""
        eventually(lambda: words in self.output or self.process.poll() is not None, f"{words!r}", PATIENCE_S)
        assert words in self.output, self.output

    def measures(self) -> None:
        """Wait until it has told of a repetition after the first one; it tells of the latest, not of each."""
        pattern = re.compile(r"repetition (?:[2-9]|\d\d)")
        eventually(lambda: bool(pattern.search(self.output)) or self.process.poll() is not None, "progress", PATIENCE_S)
        assert self.process.poll() is None, self.output

    def ends(self) -> int:
        """Wait for its end, and return its exit code."""
        return self.process.wait(PATIENCE_S)

    def kill(self) -> None:
        """End it as the kernel does when memory is short: without a chance to clean up."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@dataclass(frozen=True)
class SmallRun:
    """One node, one request at a time, a repetition about every second."""

    lab: TrialLab
    folder: Path
    inventory: Path
    scenario: Path
    texts: Path
    results: Path

    def begun(self, left_out: str = MEASURED_ONLY) -> _Process:
        """A controller that has begun it."""
        return self._controller(left_out, "--scenario", str(self.scenario), "--dataset", str(self.texts))

    def resumed(self, left_out: str = MEASURED_ONLY) -> _Process:
        """A controller that goes on with it, by the command that a user is told."""
        return self._controller(left_out, "--run", next(self.results.iterdir()).name)

    def goes_on(self, repetitions: int) -> Controller:
        """Go on with it to its end, which is good and leaves each repetition once; the controller that did so."""
        with self.resumed() as controller:
            assert controller.ends() == 0, controller.output
        self.is_complete(repetitions)
        return controller

    @contextmanager
    def _controller(self, left_out: str, *arguments: str) -> Iterator[Controller]:
        """As a program of its own; it ends with the test."""
        log = self.folder / f"output-{len(list(self.folder.glob('output-*')))}"
        options = ["--inventory", str(self.inventory), "--results", str(self.results)]
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-c", PROGRAM, left_out, "experiment", *options, *arguments],
                cwd=ROOT,
                env=os.environ | {"XDG_STATE_HOME": str(self.folder), "PYTHONUNBUFFERED": "1"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        try:
            yield Controller(process, log, self.results)
        finally:
            if process.poll() is None:
                process.terminate()
                with suppress(subprocess.TimeoutExpired):
                    process.wait(PATIENCE_S)
                process.kill()
                process.wait()

    @property
    def at_base_station(self) -> Path:
        """The run's folder on the base station, whose files are this machine's."""
        return self.lab.state_of("bs") / "driver" / next(self.results.iterdir()).name

    def finished(self, samples: Path | None = None) -> list[int]:
        """The repetitions that are on record with a result, over links that were in force; one by one, in order."""
        samples = samples or self.at_base_station / "raw" / "samples.jsonl"
        found = [one for one in records.read(samples) if isinstance(one, ModelRecord) and not one.warmup]
        return [one.repetition for one in found if one.error is None and one.links is not None]

    def is_complete(self, repetitions: int) -> None:
        """Check that the controller has each repetition once, with its request, over links that were in force."""
        samples = next(self.results.iterdir()) / "raw" / "samples.jsonl"
        assert sorted(self.finished(samples)) == list(range(repetitions))
        requests = [one for one in records.read(samples) if isinstance(one, RequestRecord) and not one.warmup]
        good = [one.repetition for one in requests if one.error is None and one.links is not None]
        assert sorted(good) == list(range(repetitions))

    def has_ended(self) -> bool:
        """Whether the driver has written that it ended."""
        state = json.loads((self.at_base_station / "status.json").read_text("utf-8"))["state"]
        return state in ("done", "failed")

    def let_the_lease_pass(self) -> None:
        """Make it the time at which the lease of all nodes' links is over, and wait until they have cleared them."""
        for lease in (self.lab.folder / "nodes").glob("*/netem/data0.lease"):
            until = json.loads(lease.read_text("utf-8")) | {"until_s": time.clock_gettime(time.CLOCK_BOOTTIME)}
            partial = lease.with_suffix(".part")
            partial.write_text(json.dumps(until), "utf-8")
            partial.replace(lease)
        eventually(lambda: not list((self.lab.folder / "nodes").glob("*/netem/data0.state")), "cleared links")

    def are_shaped(self, node: str = "bs") -> bool:
        """Whether a node's links are in force."""
        return "clsact" in self.lab.ssh(node, "tc", "qdisc", "show", "dev", "data0").stdout


if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    _Process = AbstractContextManager[Controller]


def small_run(lab: TrialLab, folder: Path, repetitions: int, lease_s: int = LEASE_S, **differences: object) -> SmallRun:
    """A run of one base station and one node, or what else differs, with an inventory of its own for the lease."""
    inventory = folder / "inventory"
    shutil.copytree(lab.inventory, inventory)
    settings = {"netem_lease_s": lease_s, "netem_probes": 300, "netem_baseline_probes": 50, "netem_patience_s": 5}
    with (inventory / "group_vars" / "all.yml").open("a", encoding="utf-8") as variables:
        yaml.safe_dump(settings, variables)
    scenario, texts, results = folder / "small.yaml", folder / "texts.jsonl", folder / "results"
    scenario.write_text(yaml.safe_dump(SCENARIO | {"repetitions": repetitions} | differences), "utf-8")
    lines = [
        json.dumps({"text": f"{words[number % 5]} {words[number % 3]} {label}{number}", "label": label})
        for label, words in WORDS.items()
        for number in range(40)
    ]
    texts.write_text("\n".join(lines), "utf-8")
    results.mkdir()
    return SmallRun(lab, folder, inventory, scenario, texts, results)


def provision(lab: TrialLab, folder: Path, **differences: Any) -> None:
    """Have the function of such a run stand on a lab."""
    (folder / "run").mkdir()
    scenario = small_run(lab, folder / "run", 1, **differences).scenario
    command = [sys.executable, "-m", "experiments", "provision", "--inventory", str(lab.inventory)]
    done = run(
        [*command, "--scenario", str(scenario)],
        cwd=ROOT,
        env=os.environ | {"XDG_STATE_HOME": str(folder)},
        deadline_s=PATIENCE_S,
    )
    assert done.returncode == 0, done.stdout + done.stderr
