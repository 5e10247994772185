"""``python -m experiments``: provision nodes, verify links, run experiments, reset."""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
import traceback
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from platformdirs import user_log_path

from collect import folder
from experiments import capacity, gate, k6, obstacles, outlook, placement, plan, proofs, resume, spec, steps
from experiments.data import dataset
from experiments.errors import ExpectationError, FaasbedError
from experiments.progress import Reporter
from experiments.spec import schema
from experiments.workloads import data
from nodes import become
from nodes import inventory as inventories
from nodes.errors import UnreachableError
from nodes.lock import locked
from nodes.playbooks import Playbooks, read_inventory

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from experiments.data.dataset import Dataset
    from experiments.placement import Placement
    from experiments.spec import Experiment
    from nodes.inventory import Inventory

INTERRUPTED = 130
ASK = "ask once for the password with which the nodes' user becomes root by sudo"
# What a new run is begun with where nothing else is asked for.
INVENTORY, SCENARIO, DATASET, SEED = "local", "paper", "synthetic", 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand; a known error is a line or two on standard error and an exit code that is not 0."""
    options = _parser().parse_args(arguments)
    options.password = become.ask() if options.ask_become_pass or become.is_asked_for() else None
    signal.signal(signal.SIGTERM, _interrupt)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup
        signal.signal(signal.SIGHUP, _interrupt)
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
    nodes.add_argument("--ask-become-pass", action="store_true", help=ASK)
    nodes.add_argument("--verbose", action="store_true", help="print the name of each Ansible task")
    nodes.add_argument("--debug", action="store_true", help="show the traceback of an error")
    what = argparse.ArgumentParser(add_help=False)
    what.add_argument("--scenario", default="paper", metavar="NAME", help="edge, cloud, paper or a .yaml file (paper)")
    parser = argparse.ArgumentParser(prog="python -m experiments", description=__doc__)
    commands = parser.add_subparsers(
        required=True, metavar="{check,export,preflight,provision,verify,experiment,reset,variables,schema}"
    )

    planned = argparse.ArgumentParser(add_help=False, parents=[what])
    planned.add_argument(
        "--inventory",
        type=inventories.name_of,
        default=INVENTORY,
        metavar="NAME",
        help="a folder of inventories/, or a path (local)",
    )
    planned.add_argument("--dataset", default=DATASET, metavar="NAME", help="synthetic, bbc or a file (synthetic)")
    planned.add_argument("--seed", type=_seed, default=SEED, metavar="N", help="the seed of all random draws (1)")
    planned.add_argument("--debug", action="store_true", help="show the traceback of an error")
    check = commands.add_parser(
        "check", parents=[planned], help="check a scenario file and say what it will do; touch no node"
    )
    check.set_defaults(command=_check, ask_become_pass=False)
    export = commands.add_parser(
        "export", parents=[planned], help="write a plan's requests as traces in CSV and scripts for k6; touch no node"
    )
    export.add_argument("--run", metavar="ID", help="the plan of this run, in place of a scenario's")
    export.add_argument("--results", type=Path, default=Path("results"), metavar="DIR", help="where runs are kept")
    export.add_argument("--repetition", type=int, default=0, metavar="N", help="which of them, counted from 0 (0)")
    export.add_argument("--to", type=Path, default=Path("k6"), metavar="DIR", help="where to (k6)")
    export.set_defaults(command=_export, ask_become_pass=False)
    schema_ = commands.add_parser("schema", help="print the JSON Schema of scenario files, for editors")
    schema_.set_defaults(command=_schema, ask_become_pass=False, debug=False)
    preflight = commands.add_parser(
        "preflight", parents=[nodes, what], help="say what stands in the way on all nodes; change nothing"
    )
    preflight.set_defaults(command=_preflight)
    provision = commands.add_parser("provision", parents=[nodes, what], help="make the nodes and deploy the function")
    provision.add_argument(
        "--allow-missing", action="store_true", help="provision the nodes that answer, where others do not"
    )
    provision.set_defaults(command=_provision)
    verify = commands.add_parser("verify", parents=[nodes, what], help="shape the links, measure them, clear them")
    verify.add_argument("--results", type=Path, metavar="DIR", help="also write the verification to DIR/links.json")
    verify.set_defaults(command=_verify)
    # Without defaults: a run that is resumed has its own, and refuses others.
    experiment = commands.add_parser("experiment", help="run the whole experiment")
    experiment.add_argument(
        "--inventory", type=inventories.name_of, metavar="NAME", help="a folder of inventories/, or a path (local)"
    )
    experiment.add_argument("--ask-become-pass", action="store_true", help=ASK)
    experiment.add_argument("--verbose", action="store_true", help="print the name of each Ansible task")
    experiment.add_argument("--debug", action="store_true", help="show the traceback of an error")
    experiment.add_argument("--scenario", metavar="NAME", help="edge, cloud, paper or a .yaml file (paper)")
    experiment.add_argument(
        "--repetitions", type=int, metavar="N", help="how many times each scenario is measured (the scenario's, 20)"
    )
    experiment.add_argument("--dataset", metavar="NAME", help="synthetic, bbc or a file (synthetic)")
    experiment.add_argument(
        "--seed", type=_seed, metavar="N", help="the seed of all random draws, a non-negative integer (1)"
    )
    experiment.add_argument("--results", type=Path, default=Path("results"), metavar="DIR", help="where runs are kept")
    experiment.add_argument("--run", metavar="ID", help="resume this run; --repetitions may be more than it began with")
    experiment.set_defaults(command=_experiment)
    reset = commands.add_parser("reset", parents=[nodes], help="remove everything faasbed created on the nodes")
    reset.set_defaults(command=_reset)
    variables = commands.add_parser(
        "variables",
        parents=[nodes, what],
        help="print a scenario's role variables as JSON, for ansible-playbook -e @FILE",
    )
    variables.set_defaults(command=_variables)
    return parser


def _check(options: argparse.Namespace) -> None:
    experiment, placed, texts = _placed(options)
    cost = capacity.check(placed, read_inventory(options.inventory))
    for line in outlook.outlook(experiment, placed, texts, options.seed):
        print(line)
    if cost.links:
        print(cost.words())


def _export(options: argparse.Namespace) -> None:
    if options.run:
        run = folder.find(options.results, options.run)
        planned, rows = plan.check(run.plan), data.read(run.dataset)
    else:
        experiment, placed, texts = _placed(options)
        count, digest = len(texts.texts), texts.sha256
        planned = plan.draw(experiment, placed, run="export", texts=count, dataset=digest, seed=options.seed)
        rows = data.Dataset(list(texts.texts), list(texts.labels))
    for name, content in k6.files(planned, rows, options.repetition):
        folder.write(options.to / name, content)
        if not name.endswith(".body"):
            print(options.to / name)


def _placed(options: argparse.Namespace) -> tuple[Experiment, Placement, Dataset]:
    """Return an experiment, where it stands on an inventory, and its data set; no node is touched."""
    experiment = spec.load(options.scenario)
    placed = placement.place(experiment, read_inventory(options.inventory))
    loaded = dataset.load(options.dataset, texts=dataset.TEXTS, seed=options.seed, deduplicate=experiment.deduplicate)
    return experiment, placed, loaded


def _schema(options: argparse.Namespace) -> None:
    del options
    print(json.dumps(schema.schema(), indent=1))


def _preflight(options: argparse.Namespace) -> None:
    reporter = Reporter(verbose=options.verbose)
    with locked(options.inventory):
        inventory = read_inventory(options.inventory)
        playbooks = _logged(options, reporter, "preflight")
        with reporter.step("preflight"):
            try:
                rows = obstacles.obstacles(spec.load(options.scenario), inventory, playbooks)
            except obstacles.NotMadeError as error:
                reporter.say(f"  {error}")
                return
    for line in obstacles.table(rows, inventory.hosts("nodes")):
        reporter.say(line)
    if rows:
        raise obstacles.PreflightError(
            f"{len(rows)} obstacle{'s' * (len(rows) > 1)} on inventory {options.inventory}: see the table; nothing was "
            "changed"
        )


def _provision(options: argparse.Namespace) -> None:
    reporter = Reporter(verbose=options.verbose)
    with _nodes(options) as inventory:
        placed = placement.place(spec.load(options.scenario), inventory)
        playbooks = _logged(options, reporter, "provision")
        try:
            with reporter.step("provision"):
                answers = playbooks.run("site", **placed.variables(), allow_missing=options.allow_missing)
        except UnreachableError as error:
            if options.allow_missing:
                raise UnreachableError(f"{error}; the nodes that answer are provisioned") from error
            raise UnreachableError(
                f"{error}; nothing was done on the other nodes. ALLOW_MISSING=1 (--allow-missing) provisions those"
            ) from error
    if playbooks.times:
        reporter.say(playbooks.times)
    reporter.say(f"{options.inventory} is provisioned: changed={answers.changed}")


def _verify(options: argparse.Namespace) -> None:
    reporter = Reporter(verbose=options.verbose)
    with _nodes(options) as inventory:
        placed = placement.place(spec.load(options.scenario), inventory)
        capacity.check(placed, inventory)
        variables = placed.variables()
        playbooks = _logged(options, reporter, "verify")
        with reporter.step("provision"):
            playbooks.run("lab")
        with gate.cleared(playbooks, reporter):
            with reporter.step("shape links"):
                reporter.say(f"  links: {gate.shape(playbooks, variables)}")
            report = options.results / "links.json" if options.results else None
            with reporter.step("verify links"):
                sentences = gate.verify(playbooks, variables, report=report)
    for sentence in sentences:
        reporter.say(sentence)


def _experiment(options: argparse.Namespace) -> None:
    reporter = Reporter(verbose=options.verbose)
    begun = None
    if options.run:
        run = folder.find(options.results, options.run)
        asked = resume.Asked(options.scenario, options.dataset, options.seed, options.inventory, options.repetitions)
        begun = resume.begun(run, asked, INVENTORY)
        options.inventory, experiment, seed = begun.inventory, begun.experiment, begun.seed
    else:
        options.inventory = options.inventory or INVENTORY
        experiment = spec.load(options.scenario or SCENARIO, repetitions=options.repetitions)
        seed = SEED if options.seed is None else options.seed
    with _nodes(options) as inventory:
        placed = placement.place(experiment, inventory)
        if begun is None:
            run = folder.create(options.results, experiment.name, resume.as_yaml(experiment))
        elif proofs.planned(run):
            experiment = resume.extend(run, begun, placed, options.repetitions)
        reporter.say(f"run {run.id} (log: {run.log})")
        playbooks = Playbooks(inventories.path_of(options.inventory), reporter, run.log, password=options.password)
        context = steps.Context(run, experiment, inventory, playbooks, reporter, options.dataset or DATASET, seed)
        try:
            steps.carry_out(context)
        except ExpectationError:
            reporter.say(f"report: {run.report}")
            raise
        except (KeyboardInterrupt, FaasbedError):
            if begun is None and not proofs.planned(run):  # made by this call, and nothing was begun
                shutil.rmtree(run.path)
                raise
            command = resume.command(run, str(options.results), options.inventory)
            reporter.say(f"what was measured is kept; resume the run with: {command}")
            raise
    reporter.say(f"report: {run.report}")


def _reset(options: argparse.Namespace) -> None:
    reporter = Reporter(verbose=options.verbose)
    with _nodes(options):
        playbooks = _logged(options, reporter, "reset")
        try:
            with reporter.step("reset"):
                answers = playbooks.run("reset")
        except UnreachableError as error:
            raise UnreachableError(
                f"{error}; the nodes that answer are reset: run it again when this one answers"
            ) from error
    reporter.say(f"{options.inventory} is reset: changed={answers.changed}")


def _variables(options: argparse.Namespace) -> None:
    inventory = read_inventory(options.inventory)
    placed = placement.place(spec.load(options.scenario), inventory)
    print(json.dumps(placed.variables(), indent=1))


@contextmanager
def _nodes(options: argparse.Namespace) -> Iterator[Inventory]:
    """Keep other runs off the nodes of the inventory, and refuse those that this user cannot make."""
    with locked(options.inventory):
        inventory = read_inventory(options.inventory)
        steps.check_machine(inventory)
        yield inventory


def _logged(options: argparse.Namespace, reporter: Reporter, command: str) -> Playbooks:
    """Return the inventory's playbooks; what they print goes to a log in the user's folder, the last one's only."""
    log = user_log_path("faasbed") / inventories.slug(options.inventory) / command
    shutil.rmtree(log, ignore_errors=True)
    reporter.say(f"log: {log}")
    return Playbooks(inventories.path_of(options.inventory), reporter, log, password=options.password)


def _seed(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"invalid seed {text!r}: expected a non-negative integer")
    return int(text)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
