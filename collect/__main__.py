"""``python -m collect``: pull a run's records, analyse them, write its report, compare and export runs."""

from __future__ import annotations

import argparse
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from collect import folder, privileges
from collect.exit_codes import KNOWN_ERROR
from nodes.errors import FaasbedError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

INTERRUPTED = 130


def start(arguments: Sequence[str]) -> int:
    """Do as `main`; where it is root who asks and no node is needed, another user does the work."""
    options = _parser().parse_args(arguments)
    with privileges.handing_over() as is_worker:
        if is_worker or options.command == "pull" or not privileges.can_be_dropped():
            return _told(options, _carry_out)
        try:
            return _told(options, lambda options: privileges.work_without(arguments, _is_result(options)))
        except KeyboardInterrupt:
            return INTERRUPTED


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand; return 0, 3 or 4 (see `collect.exit_codes`), or 2 for a known error, which is printed."""
    return _told(_parser().parse_args(arguments), _carry_out)


def _is_result(options: argparse.Namespace) -> Callable[[Path], bool]:
    """Return what tells whether a file is one that the subcommand writes."""
    files = {options.json.absolute()} if getattr(options, "json", None) else set()
    folders: set[Path] = set()
    if options.command != "compare":
        run = folder.find(options.results, options.run)
        files |= {run.summary, run.report}
        folders = {run.figures, (getattr(options, "to", None) or run.export).absolute()}
    return lambda path: path in files or path.parent in folders


def _carry_out(options: argparse.Namespace) -> int:
    # scipy and matplotlib take a second to load: --help and a mistyped option do not wait for them.
    from collect import commands  # noqa: PLC0415

    return commands.COMMANDS[options.command](options)


def _told(options: argparse.Namespace, work: Callable[[argparse.Namespace], int]) -> int:
    """Do it; tell of a known error, and return its exit code."""
    try:
        return work(options)
    except FaasbedError as error:
        if options.debug:
            traceback.print_exc()
        print(f"error: {error}", file=sys.stderr)
        return KNOWN_ERROR


def _parser() -> argparse.ArgumentParser:
    everywhere = argparse.ArgumentParser(add_help=False)
    everywhere.add_argument(
        "--results", metavar="DIR", type=Path, default=Path("results"), help="where runs are kept (results)"
    )
    everywhere.add_argument("--debug", action="store_true", help="show the traceback of an error")
    shared = argparse.ArgumentParser(add_help=False, parents=[everywhere])
    shared.add_argument("run", metavar="RUN", nargs="?", help="the run's id; the newest run when left out")
    numbers = argparse.ArgumentParser(add_help=False)
    numbers.add_argument(
        "--reference", metavar="SCENARIO", help="what the other scenarios are compared with (cloud, else the last)"
    )
    numbers.add_argument(
        "--max-failed-percent",
        metavar="P",
        type=float,
        default=10.0,
        help="claims are undecided where a larger share of a scenario's repetitions failed (10)",
    )
    parser = argparse.ArgumentParser(prog="python -m collect", description="Numbers, figures and a report from a run.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="{pull,analyse,report,compare,export}")
    pull = commands.add_parser("pull", parents=[shared], help="fetch the raw records from the base stations")
    pull.add_argument("--inventory", metavar="NAME", help="the nodes of the run (the one in its manifest, else local)")
    pull.add_argument(
        "--ask-become-pass",
        action="store_true",
        help="ask once for the password with which the nodes' user becomes root",
    )
    pull.add_argument("--verbose", action="store_true", help="print the name of each Ansible task")
    commands.add_parser("analyse", parents=[shared, numbers], help="print the table, write analysis/summary.json")
    commands.add_parser("report", parents=[shared, numbers], help="analyse, draw the figures, write report.html")
    compare = commands.add_parser("compare", parents=[everywhere, numbers], help="compare runs of the same scenarios")
    compare.add_argument("runs", metavar="RUN", nargs="+", help="the ids of two runs or more")
    compare.add_argument("--json", metavar="FILE", type=Path, help="write the numbers to this file, too")
    export = commands.add_parser(
        "export", parents=[shared], help="write samples, repetitions, links and load as tables"
    )
    export.add_argument("--to", metavar="DIR", type=Path, help="the folder for the files (export/ in the run's folder)")
    export.add_argument("--format", choices=("csv", "parquet"), default="csv", help="what the files are (csv)")
    return parser


if __name__ == "__main__":
    sys.exit(start(sys.argv[1:]))
