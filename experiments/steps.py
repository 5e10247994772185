"""The steps of a run, in order. Each leaves its proof in the run's folder; links are cleared whatever happens."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments import manifest, placement, plan
from experiments.data import dataset
from experiments.errors import RunError
from nodes.errors import PlaybookError, UnreachableError
from nodes.playbooks import FOLLOWING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from experiments.progress import Reporter
    from experiments.run import RunFolder
    from experiments.spec import Experiment
    from nodes.inventory import Inventory
    from nodes.playbooks import Playbooks, Results

ROOT = Path(__file__).resolve().parent.parent
# A run of the paper's size takes some 50 MB with its data set and figures.
FREE_BYTES = 200_000_000
# How often a lost SSH connection to the base station is looked for again; the driver goes on meanwhile.
RECONNECTS = 20
RECONNECT_PAUSE_S = 5
# How long the first verification sends by TCP over each link, to show what it carries.
STREAM_S = 2
# The default of roles/netem's netem_lease_s.
LEASE_S = 3600.0


@dataclass(slots=True)
class Context:
    """What the steps of a run share."""

    run: RunFolder
    experiment: Experiment
    inventory: Inventory
    playbooks: Playbooks
    reporter: Reporter
    dataset: str
    seed: int

    @property
    def placement(self) -> placement.Placement:
        """Where the experiment stands on the inventory's nodes."""
        return placement.place(self.experiment, self.inventory)

    def variables(self) -> dict[str, Any]:
        """Return what the roles are told: links, services, and the run."""
        return {
            **self.placement.variables(),
            "driver_run": self.run.id,
            "driver_results": str(self.run.path),
        }


def preflight(context: Context) -> None:
    """Check what can be checked without touching a node, draw the plan, write down what the run will be."""
    check_machine(context.inventory)
    free = shutil.disk_usage(context.run.path).free
    if free < FREE_BYTES:
        raise RunError(
            f"{context.run.path.parent}: {free // 1_000_000} MB free, a run needs {FREE_BYTES // 1_000_000} MB"
        )
    placed = context.placement
    if context.run.read_json("plan.json") is not None:
        if not context.run.measured():
            plan.check(context.run.path / "plan.json")
        return
    data = dataset.load(context.dataset, texts=dataset.TEXTS, seed=context.seed)
    dataset.write(data, context.run.path / "dataset.json")
    context.run.update_manifest(
        run=context.run.id,
        inventory=context.inventory.name,
        scenarios=[scenario.name for scenario in context.experiment.scenarios],
        seed=context.seed,
        dataset={
            "name": data.name,
            "source": data.source,
            "texts": len(data.texts),
            "labels": {label: data.labels.count(label) for label in sorted(set(data.labels))},
            "sha256": data.sha256,
        },
        commit=manifest.commit(),
        versions=manifest.versions(),
    )
    drawn = plan.draw(context.experiment, placed, run=context.run.id, texts=len(data.texts), seed=context.seed)
    context.run.write_json("plan.json", plan.as_json(drawn))


def provision(context: Context) -> None:
    """Make the nodes, and the cluster where the function needs one, or see that they are there."""
    context.playbooks.run("lab")
    if context.placement.platform.is_made:
        context.playbooks.run("platform", **context.variables())
    lab = manifest.lab(context.inventory)
    warnings = [lab["warning"]] if lab.get("warning") else []
    context.run.update_manifest(lab=lab, warnings=warnings)
    for warning in warnings:
        context.reporter.say(f"  warning: {warning}")


def shape_links(context: Context) -> None:
    """Give every link of the scenarios its delay, jitter and loss."""
    results = context.playbooks.run("links", **context.variables())
    reason = _first(results, "Say which backend shapes the links").get("msg", "")
    context.reporter.say(f"  links: {reason}")
    context.run.update_manifest(links=reason)


def verify_links(context: Context) -> None:
    """Measure the links before the function runs; stop when one is not what the scenario says."""
    _verify(context, "before")


def deploy_function(context: Context) -> None:
    """Run the replicas, and see that parallel requests meet separate replicas on the nodes that were meant."""
    context.playbooks.run("function", **context.variables())
    checked = context.playbooks.run("measure-check", **context.variables())
    replicas = {host: result["stdout"] for host, result in checked.get(CHECK_TASK, {}).items()}
    facts = context.playbooks.run("facts", **context.variables())
    context.run.update_manifest(replicas=replicas, nodes=manifest.nodes(facts, context.inventory))
    cluster = manifest.cluster(facts)
    if cluster:
        context.run.update_manifest(cluster=cluster)


CHECK_TASK = "Send as many parallel requests as there are replicas"


def measure(context: Context) -> None:
    """Start the driver on the base station and follow it; a lost connection is made again, the driver goes on.

    The links' lease is renewed at the start and after each third of it, so that links clear themselves only where this
    program is gone for two thirds of a lease.
    """
    context.playbooks.run("renew")
    context.playbooks.run("measure-start", **context.variables())
    lost = 0
    while True:
        try:
            results = context.playbooks.run(
                "measure-follow", driver_follow_s=lease_s(context.inventory) / 3, **context.variables()
            )
            if _ended(results):
                return
            context.playbooks.run("renew")
        except UnreachableError as error:
            lost += 1
            if lost == RECONNECTS:
                raise
            context.reporter.say(f"  {error}: the driver goes on; connecting again")
            time.sleep(RECONNECT_PAUSE_S)
        else:
            lost = 0


def lease_s(inventory: Inventory) -> float:
    """Return after how many seconds without a renewal the links clear themselves: the inventory's ``netem_lease_s``."""
    given = [values["netem_lease_s"] for values in inventory.variables.values() if "netem_lease_s" in values]
    return min((float(value) for value in given), default=LEASE_S)


def _ended(results: Results) -> bool:
    followed = results.get(FOLLOWING, {}).values()
    return all(json.loads(result["stdout"])["state"] == "done" for result in followed)


def verify_links_again(context: Context) -> None:
    """Measure the links after the last repetition: what held before may not have held throughout."""
    _verify(context, "after")


def collect(context: Context) -> None:
    """Fetch the raw records from the base stations."""
    _python("-m", "collect", "pull", context.run.id, "--inventory", context.inventory.name, context=context)


def analyse(context: Context) -> None:
    """Print the table, judge the paper's claims, draw the figures, write the report."""
    _python("-m", "collect", "report", context.run.id, context=context)


STEPS: tuple[Callable[[Context], None], ...] = (
    preflight,
    provision,
    shape_links,
    verify_links,
    deploy_function,
    measure,
    verify_links_again,
    collect,
    analyse,
)
# Up to here there is nothing to clear, and perhaps no node that could be reached.
BEFORE_LINKS = STEPS[:2]
# What still has to be done for a run whose repetitions are all on record and whose links were verified afterwards.
AFTER_MEASURING: tuple[Callable[[Context], None], ...] = (preflight, analyse)


def carry_out(context: Context) -> None:
    """Take the steps in order, then clear the links; a run that was cut off goes on from its proofs.

    Raises:
        FaasbedError: a step failed; its gate's numbers are in the message.
        KeyboardInterrupt: the user asked to stop; the driver is stopped and what was measured is kept.
    """
    if context.run.measured() and (context.run.read_json("links/after.json") or {}).get("links"):
        for step in AFTER_MEASURING:
            _take(step, context)
        return
    for step in BEFORE_LINKS:
        _take(step, context)
    with links_cleared(context.playbooks, context.reporter):
        try:
            for step in STEPS[len(BEFORE_LINKS) :]:
                _take(step, context)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                _stop(context)
            _rescue(context)
            raise


def _stop(context: Context) -> None:
    try:
        context.playbooks.run("measure-stop", **context.variables())
    except PlaybookError as error:
        context.reporter.say(f"the driver could not be stopped: {error}. It ends with its plan.")


def _rescue(context: Context) -> None:
    """Fetch what was measured before a run was cut off, so that it outlives the base station."""
    if any(entry["step"] == "measure" for entry in context.run.read_json("steps.json") or []):
        try:
            _take(collect, context)
        except RunError as error:
            context.reporter.say(f"the records stay on the base station for now: {error}")


@contextmanager
def links_cleared(playbooks: Playbooks, reporter: Reporter) -> Iterator[None]:
    """Clear the links at the end, on failure and on Ctrl-C; a failure to clear never hides the first one."""
    try:
        yield
    except BaseException:
        try:
            with reporter.step("clear links"):
                playbooks.run("clear")
        except PlaybookError as error:
            reporter.say(f"the links could not be cleared: {error}. Clear them later: playbooks/clear.yml")
        raise
    with reporter.step("clear links"):
        playbooks.run("clear")


def _take(step: Callable[[Context], None], context: Context) -> None:
    name = step.__name__.replace("_", " ")
    started = time.monotonic()
    status = "failed"
    try:
        with context.reporter.step(name):
            step(context)
        status = "ok"
    finally:
        taken = context.run.read_json("steps.json") or []
        entry = {"step": name, "seconds": round(time.monotonic() - started, 1), "status": status}
        context.run.write_json("steps.json", [*taken, entry])


def _verify(context: Context, when: str) -> None:
    target = context.run.path / "links" / f"{when}.json"
    target.parent.mkdir(exist_ok=True)
    if target.exists():  # of a run that was cut off: what was measured then stays on record
        target.rename(target.with_name(f"{when}-{len(list(target.parent.glob(f'{when}*.json')))}.json"))
    seconds = STREAM_S if when == "before" else 0
    results = context.playbooks.run(
        "verify", netem_report_file=str(target), netem_stream_s=seconds, **context.variables()
    )
    for lines in results.get("Say what each link does", {}).values():
        for line in lines["msg"]:
            context.reporter.say(f"  {line}")


def _first(results: Results, task: str) -> dict[str, Any]:
    return next(iter(results.get(task, {}).values()), {})


def _python(*arguments: str, context: Context) -> None:
    command = [sys.executable, *arguments, "--results", str(context.run.path.parent)]
    done = subprocess.run(command, cwd=ROOT, check=False)
    if done.returncode:
        raise RunError(f"{' '.join(arguments)} ended with code {done.returncode}; what was measured is kept")


def check_machine(inventory: Inventory) -> None:
    """Refuse to make nodes on this machine without root, before anything is begun.

    Raises:
        RunError: the inventory's nodes are made here and the user is not root.
    """
    hosts = inventory.hosts("nodes")
    made_here = bool(hosts) and inventory.variables.get(hosts[0], {}).get("lab_kind", "own") != "own"
    if made_here and os.geteuid() != 0:
        raise RunError(
            f"inventory {inventory.name} makes nodes on this machine, which needs root: run it again with sudo"
        )
