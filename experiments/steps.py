"""The steps of a run, in order. Each leaves its proof in the run's folder; links are cleared whatever happens."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from collect import exit_codes
from collect.folder import begin_part, write_json
from experiments import capacity, follow, gate, manifest, placement, plan, proofs, resume
from experiments.data import dataset
from experiments.errors import ExpectationError, LostNodesError, RunError
from experiments.leakage import leakage
from nodes.errors import PlaybookError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from collect.folder import RunFolder
    from experiments.progress import Reporter
    from experiments.spec import Experiment
    from nodes.inventory import Inventory
    from nodes.playbooks import Playbooks

ROOT = Path(__file__).resolve().parent.parent
# A run of the paper's size takes some 50 MB with its data set and figures.
FREE_BYTES = 200_000_000
# How long a node that was lost is waited for.
RETURN_S = 600


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
    if "$" in str(context.run.path):
        raise RunError(
            f"{context.run.path.parent} has a $ in its name, which Ansible replaces by a variable's value; name "
            "another folder with --results"
        )
    free = shutil.disk_usage(context.run.path).free
    if free < FREE_BYTES:
        raise RunError(
            f"{context.run.path.parent} has {free // 1_000_000} MB free, {FREE_BYTES // 1_000_000} MB required; free "
            "some space, or name another folder with --results"
        )
    placed = context.placement
    capacity.check(placed, context.inventory)
    if proofs.planned(context.run):  # by a plan that `proofs.measured` has read, before this step
        return
    data = dataset.load(
        context.dataset, texts=dataset.TEXTS, seed=context.seed, deduplicate=context.experiment.deduplicate
    )
    drawn = plan.draw(
        context.experiment,
        placed,
        run=context.run.id,
        texts=len(data.texts),
        dataset=data.sha256,
        seed=context.seed,
    )
    described = manifest.dataset(data, leakage(drawn, data))
    context.reporter.say(f"  data set: {data.source}: {manifest.labels(described)}")
    for note in described["notes"]:
        context.reporter.say(f"  note: {note}")
    dataset.write(data, context.run.dataset)
    context.run.update_manifest(
        run=context.run.id,
        inventory=context.inventory.name,
        scenarios=[scenario.name for scenario in context.experiment.scenarios],
        seed=context.seed,
        dataset=described,
        commit=manifest.commit(),
        versions=manifest.versions(),
        plan={
            "hash": drawn.hash,
            "repetitions": context.experiment.repetitions,
            "contents": [drawn.content],
        },
        **manifest.expect(context.experiment),
        **manifest.sweep(context.experiment),
    )
    write_json(context.run.plan, plan.as_json(drawn))


def provision(context: Context) -> None:
    """Make the nodes, and the cluster where the function needs one, or see that they are there."""
    context.playbooks.run("lab")
    if context.placement.platform.is_made:
        answers = context.playbooks.run("platform", **context.variables())
        if "artifacts" in answers.by_key:  # a cluster that is somebody else's may be made of none
            context.run.update_manifest(artifacts=answers["artifacts"]["localhost"])
    lab = manifest.lab(context.inventory)
    # The lab's own stands in its description: it is true of a lab that was made before, too.
    plain = lab.get("warning")
    others = [one for one in context.playbooks.warnings if not (plain and one.endswith(plain))]
    own = [_with_first(plain, context)] if plain else []
    for warning in own:
        if warning != plain or len(others) == len(context.playbooks.warnings):  # not said yet
            context.reporter.say(f"  warning: {warning}")
    context.run.update_manifest(lab=lab, warnings=[*own, *others])


def _with_first(warning: str, context: Context) -> str:
    """Return the warning of too few cores with what the platform runs on its first node beside the replicas."""
    platform = context.placement.platform
    if not platform.beside_first:
        return warning
    return f"{warning} {platform.first_node(context.inventory)} also runs {platform.beside_first}."


def shape_links(context: Context) -> None:
    """Give every link of the scenarios its delay, jitter and loss."""
    backend = gate.shape(context.playbooks, context.variables())
    context.reporter.say(f"  links: {backend}")
    context.run.update_manifest(links=backend)


def verify_links(context: Context) -> None:
    """Measure the links before the function runs; stop when one is off the scenario's target."""
    _verify(context, "before", stream_s=gate.STREAM_S)


def deploy_function(context: Context) -> None:
    """Run the replicas, and check that parallel requests are served by separate replicas on the expected nodes."""
    answers = context.playbooks.run("deploy", **context.variables())
    context.run.update_manifest(replicas=answers["driver_check"], nodes=answers["node_facts"])
    if context.placement.platform.is_cluster:
        context.run.update_manifest(cluster=manifest.cluster(answers["cluster"]))
    _calibrate(context, "before")


def measure(context: Context) -> None:
    """Start the driver on the base station and follow it to its end."""
    context.playbooks.run("measure-start", **context.variables())
    lease_s = follow.lease_s(context.inventory)
    if loss := follow.follow(context.playbooks, context.reporter, context.variables(), lease_s):
        raise LostNodesError(loss.error, loss.nodes, loss.finished)


def verify_links_again(context: Context) -> None:
    """Measure links and limited replicas after the last repetition: what held before may not have held throughout."""
    _calibrate(context, "after")
    _verify(context, "after", stream_s=0)


def collect(context: Context) -> None:
    """Fetch the raw records from the base stations."""
    context.playbooks.run("collect", collect_run=context.run.id, collect_into=str(context.run.raw))


def analyse(context: Context) -> None:
    """Print the table, judge the paper's claims, draw the figures, write the report."""
    command = [sys.executable, "-m", "collect", "report", context.run.id, "--results", str(context.run.path.parent)]
    done = subprocess.run(command, cwd=ROOT, check=False)
    if done.returncode == exit_codes.UNMET:
        raise ExpectationError(
            f"run {context.run.id} does not meet all that its scenario file expects (see NOT MET above, or report.html)"
        )
    if done.returncode == exit_codes.REFUSED:
        raise RunError(
            f"run {context.run.id} is refused: its links or limited replicas were off when they were verified, so "
            "what it measured is not a result (report.html has the numbers)"
        )
    if done.returncode:
        raise RunError(
            f"the report of {context.run.id} was not written (exit code {done.returncode}); what was measured is kept, "
            f"write it again: make report RUN={context.run.id}{resume.where(str(context.run.path.parent))}"
        )


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
# What still has to be done for a run whose repetitions are all on record and whose links were verified afterwards.
AFTER_MEASURING: tuple[Callable[[Context], None], ...] = (preflight, analyse)


def carry_out(context: Context) -> None:
    """Take the steps in order, then clear the links; a run that was cut off goes on from its proofs.

    Raises:
        FaasbedError: a step failed; its gate's numbers are in the message.
        KeyboardInterrupt: the user asked to stop. In either case the driver is stopped and what was measured is kept.
    """
    if proofs.measured(context.run) and proofs.verified_afterwards(context.run):
        for step in AFTER_MEASURING:
            _take(step, context)
        return
    is_resumed = proofs.planned(context.run)
    _take(preflight, context)
    goes_on = is_resumed and _is_measuring(context)
    if not goes_on:
        _take(provision, context)
    with gate.cleared(context.playbooks, context.reporter):
        try:
            _take_all(STEPS[STEPS.index(measure if goes_on else shape_links) :], context)
        except BaseException:
            if any(entry["step"] == "measure" for entry in proofs.steps(context.run)):
                _stop(context)
                _rescue(context)
            raise


def _take_all(steps: Sequence[Callable[[Context], None]], context: Context) -> None:
    """Take steps in order; where nodes are lost meanwhile, wait for them, and begin again with the links.

    Raises:
        FaasbedError: a step failed, a node stayed away, or one was lost again before anything more was measured.
    """
    finished = -1
    while True:
        try:
            for step in steps:
                _take(step, context)
        except LostNodesError as lost:
            if lost.finished == finished:
                raise
            finished = lost.finished
            context.reporter.say(f"  {lost}: it is waited for, and the links are shaped and verified again")
            _stop(context)
            with context.reporter.step(f"wait for {' and '.join(lost.nodes)}"):
                _wait(context)
            steps = STEPS[STEPS.index(shape_links) :]
        else:
            return


def _wait(context: Context) -> None:
    """Return when every node answers again, without links: those of one that was lost may lead nowhere.

    Raises:
        UnreachableError: a node stayed away.
    """
    until_s = time.monotonic() + RETURN_S
    while True:
        try:
            context.playbooks.run("clear")
        except UnreachableError:
            if time.monotonic() > until_s:
                raise
            time.sleep(follow.RECONNECT_PAUSE_S)
        else:
            return


def _is_measuring(context: Context) -> bool:
    """Return whether a driver of this run still measures, over links that are in force and are renewed here.

    Then it is followed: probes of the links would disturb it, and its nodes, links and function stand. One that
    measures over other links is stopped.
    """
    try:
        states = context.playbooks.run("measure-status", **context.variables())["driver_status"]
    except UnreachableError:  # the nodes may have to be made first
        return False
    for host, status in states.items():
        if status["state"] == "failed":
            context.reporter.say(
                f"  {host}: the driver had ended after {status['finished']} of {status['total']} repetitions: "
                f"{status['error']}; those that are missing are measured now"
            )
    if not any(status["state"] in ("starting", "running") for status in states.values()):
        return False
    try:
        context.playbooks.run("renew", **context.variables())
    except UnreachableError:
        raise
    except PlaybookError as error:
        context.reporter.say(f"  the driver of this run is stopped and started again: {error}")
        context.playbooks.run("measure-stop", **context.variables())
        return False
    context.reporter.say("  the driver of this run still measures: following it")
    return True


def _stop(context: Context) -> None:
    """End the driver: whatever ended the run, nothing is measured over links that are cleared next."""
    try:
        context.playbooks.run("measure-stop", **context.variables())
    except PlaybookError as error:
        context.reporter.say(f"the driver could not be stopped: {error}; it stops by itself when its links are cleared")


def _rescue(context: Context) -> None:
    """Fetch what was measured before a run was cut off, so that it outlives the base station."""
    try:
        _take(collect, context)
    except PlaybookError as error:
        context.reporter.say(f"the records stay on the base station for now: {error}")


def _take(step: Callable[[Context], None], context: Context) -> None:
    name = step.__name__.replace("_", " ")
    started = time.monotonic()
    status = "failed"
    try:
        with context.reporter.step(name):
            step(context)
        status = "ok"
    finally:
        taken = proofs.steps(context.run)
        entry = {"step": name, "seconds": round(time.monotonic() - started, 1), "status": status}
        write_json(context.run.steps, [*taken, entry])


def _verify(context: Context, when: str, stream_s: float) -> None:
    if when == "before":
        begin_part(context.run.links)
    target = context.run.links(when)
    target.parent.mkdir(exist_ok=True)
    for sentence in gate.verify(context.playbooks, context.variables(), report=target, stream_s=stream_s):
        context.reporter.say(f"  {sentence}")


def _calibrate(context: Context, when: str) -> None:
    """Measure how much of a CPU replicas have that are given less than their node has, and what the kernel counts."""
    services = [one for of_scenario in context.placement.services.values() for one in of_scenario]
    if not context.placement.platform.calibrates or not any(one.limits for one in services):
        return
    if when == "before":
        begin_part(context.run.resources)
    target = context.run.resources(when)
    target.parent.mkdir(exist_ok=True)
    for sentence in gate.calibrate(context.playbooks, context.variables(), target):
        context.reporter.say(f"  {sentence}")


def check_machine(inventory: Inventory) -> None:
    """Refuse to make nodes on this machine without root, before anything is begun.

    Raises:
        RunError: the inventory's nodes are made here and the user is not root.
    """
    if inventory.setting("lab_kind", role="lab", group="nodes") != "own" and os.geteuid() != 0:
        raise RunError(
            f"inventory {inventory.name} makes nodes on this machine, which needs root: run it again with sudo"
        )
