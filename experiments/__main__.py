"""``python -m experiments``: provision nodes, verify links, run experiments, reset."""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from experiments import placement, spec, steps
from experiments import run as runs
from experiments.errors import FaasbedError
from experiments.progress import Reporter
from nodes import inventory as inventories
from nodes.lock import locked
from nodes.playbooks import Playbooks, read_inventory

if TYPE_CHECKING:
    from collections.abc import Sequence

INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand; a known error is a line or two on standard error and an exit code that is not 0."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        options.command(options)
    except FaasbedError as error:
        if options.debug:
            traceback.print_exc()
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return INTERRUPTED
    return 0


def _parser() -> argparse.ArgumentParser:
    nodes = argparse.ArgumentParser(add_help=False)
    nodes.add_argument(
        "--inventory",
        type=inventories.name_of,
        default="local",
        metavar="NAME",
        help="a folder of inventories/, or a path (local)",
    )
    nodes.add_argument("--debug", action="store_true", help="show the trace of an error")
    what = argparse.ArgumentParser(add_help=False)
    what.add_argument("--scenario", default="paper", metavar="NAME", help="edge, cloud, paper or a .yaml file (paper)")
    parser = argparse.ArgumentParser(prog="python -m experiments", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="{provision,verify,experiment,reset,variables}")

    provision = commands.add_parser("provision", parents=[nodes, what], help="make the nodes and deploy the function")
    provision.set_defaults(command=_provision)
    verify = commands.add_parser("verify", parents=[nodes, what], help="shape the links, measure them, clear them")
    verify.add_argument("--results", type=Path, metavar="DIR", help="also write the verification to DIR/links.json")
    verify.set_defaults(command=_verify)
    experiment = commands.add_parser("experiment", parents=[nodes, what], help="run the whole experiment")
    experiment.add_argument("--repetitions", type=int, metavar="N", help="how often each scenario is measured (20)")
    experiment.add_argument(
        "--dataset", default="synthetic", metavar="NAME", help="synthetic, bbc or a file (synthetic)"
    )
    experiment.add_argument("--seed", type=_seed, default=1, metavar="N", help="all that is drawn comes from it (1)")
    experiment.add_argument("--results", type=Path, default=Path("results"), metavar="DIR", help="where runs are kept")
    experiment.add_argument("--run", metavar="ID", help="go on with this run; what it measured is not measured again")
    experiment.set_defaults(command=_experiment)
    reset = commands.add_parser("reset", parents=[nodes], help="leave nothing of ours on the nodes")
    reset.set_defaults(command=_reset)
    variables = commands.add_parser(
        "variables",
        parents=[nodes, what],
        help="print a scenario's role variables as JSON, for ansible-playbook -e @FILE",
    )
    variables.set_defaults(command=_variables)
    return parser


def _provision(options: argparse.Namespace) -> None:
    reporter = Reporter()
    with locked(options.inventory):
        inventory = read_inventory(options.inventory)
        steps.check_machine(inventory)
        placed = placement.place(spec.load(options.scenario), inventory)
        playbooks = Playbooks(inventories.path_of(options.inventory), reporter)
        with reporter.step("provision"):
            results = playbooks.run("site", **placed.variables())
    if playbooks.times:
        reporter.say(playbooks.times)
    changed = sum(bool(result.get("changed")) for hosts in results.values() for result in hosts.values())
    reporter.say(f"{options.inventory} is provisioned: changed={changed}")


def _verify(options: argparse.Namespace) -> None:
    reporter = Reporter()
    with locked(options.inventory):
        inventory = read_inventory(options.inventory)
        steps.check_machine(inventory)
        variables = placement.place(spec.load(options.scenario), inventory).variables()
        playbooks = Playbooks(inventories.path_of(options.inventory), reporter)
        report = str((options.results / "links.json").resolve()) if options.results else ""
        with reporter.step("provision"):
            playbooks.run("lab")
        with steps.links_cleared(playbooks, reporter):
            with reporter.step("shape links"):
                playbooks.run("links", **variables)
            with reporter.step("verify links"):
                results = playbooks.run("verify", netem_report_file=report, netem_stream_s=steps.STREAM_S, **variables)
    for lines in results.get("Say what each link does", {}).values():
        for line in lines["msg"]:
            reporter.say(line)


def _experiment(options: argparse.Namespace) -> None:
    reporter = Reporter()
    if options.run:
        run = runs.find(options.results, options.run)
        experiment = run.experiment()
        manifest = run.read_json("manifest.json") or {}
        options.inventory = manifest.get("inventory", options.inventory)
    else:
        experiment = spec.load(options.scenario, repetitions=options.repetitions)
    with locked(options.inventory):
        inventory = read_inventory(options.inventory)
        steps.check_machine(inventory)
        placement.place(experiment, inventory)
        if not options.run:
            run = runs.create(options.results, experiment)
        reporter.say(f"run {run.id}")
        playbooks = Playbooks(inventories.path_of(options.inventory), reporter, run.path / "ansible")
        context = steps.Context(run, experiment, inventory, playbooks, reporter, options.dataset, options.seed)
        try:
            steps.carry_out(context)
        except (KeyboardInterrupt, FaasbedError):
            if run.read_json("plan.json") is None:  # nothing was begun
                shutil.rmtree(run.path)
                raise
            reporter.say(f"what was measured is kept; go on with: make experiment RUN={run.id}")
            raise
    reporter.say(f"report: {run.path / 'report.html'}")


def _reset(options: argparse.Namespace) -> None:
    reporter = Reporter()
    with locked(options.inventory):
        inventory = read_inventory(options.inventory)
        steps.check_machine(inventory)
        with reporter.step("reset"):
            results = Playbooks(inventories.path_of(options.inventory), reporter).run("reset")
    changed = sum(bool(result.get("changed")) for hosts in results.values() for result in hosts.values())
    reporter.say(f"{options.inventory} is reset: changed={changed}")


def _variables(options: argparse.Namespace) -> None:
    inventory = read_inventory(options.inventory)
    placed = placement.place(spec.load(options.scenario), inventory)
    print(json.dumps(placed.variables(), indent=1))


def _seed(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no seed: it is a whole number from 0 on")
    return int(text)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
