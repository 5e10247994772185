"""``python -m collect``: pull a run's records, analyse them, write its report."""

from __future__ import annotations

import argparse
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from collect.errors import CollectError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from collect.analysis import Analysis
    from collect.run import Run

KNOWN_ERROR = 2
# The table is wider than what a terminal is taken for when the output goes to a file.
WIDTH_WITHOUT_TERMINAL = 132


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand; return 0, or 2 for a known error, which is printed in a line or two."""
    options = _parser().parse_args(arguments)
    try:
        options.command(options)
    except CollectError as error:
        if options.debug:
            traceback.print_exc()
        print(f"error: {error}", file=sys.stderr)
        return KNOWN_ERROR
    return 0


def _parser() -> argparse.ArgumentParser:
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("run", metavar="RUN", nargs="?", help="the run's id; the newest run when left out")
    shared.add_argument(
        "--results", metavar="DIR", type=Path, default=Path("results"), help="where runs are kept (results)"
    )
    shared.add_argument("--debug", action="store_true", help="show the trace of an error")
    numbers = argparse.ArgumentParser(add_help=False)
    numbers.add_argument(
        "--reference", metavar="SCENARIO", help="what the other scenarios are compared with (cloud, else the last)"
    )
    parser = argparse.ArgumentParser(prog="python -m collect", description="Numbers, figures and a report from a run.")
    commands = parser.add_subparsers(required=True, metavar="{pull,analyse,report}")
    pull = commands.add_parser("pull", parents=[shared], help="fetch the raw records from the base stations")
    pull.add_argument("--inventory", metavar="NAME", help="the nodes of the run (what its manifest says, else local)")
    pull.set_defaults(command=_pull)
    analyse = commands.add_parser(
        "analyse", parents=[shared, numbers], help="print the table, write analysis/summary.json"
    )
    analyse.set_defaults(command=_analyse)
    report = commands.add_parser(
        "report", parents=[shared, numbers], help="analyse, draw the figures, write report.html"
    )
    report.set_defaults(command=_report)
    return parser


def _pull(options: argparse.Namespace) -> None:
    from collect import pull, run

    folder = run.find(options.results, options.run)
    inventory = options.inventory or run.inventory(folder) or "local"
    console = _console()
    with console.status(f"Fetching the records of {folder.name}") as status:

        def told(task: str) -> None:
            if console.is_terminal:
                status.update(task)
            else:
                console.print(task, highlight=False, markup=False)

        pull.pull(folder, inventory, told)
    console.print(f"The records of {folder.name} are in {folder / 'raw'}", soft_wrap=True, highlight=False)


def _analyse(options: argparse.Namespace) -> None:
    from collect import table

    run, analysis = _analysed(options)
    table.show(_console(), analysis, run.notes)


def _report(options: argparse.Namespace) -> None:
    from collect import report
    from collect.run import write

    console = _console()
    with console.status("Analysing") as status:
        run, analysis = _analysed(options)
        pictures = report.draw(run, analysis)
        for picture in pictures:
            status.update(f"Drawing {picture.name}")
            picture.save(run.folder / "figures")
        status.update("Writing the report")
        target = run.folder / "report.html"
        write(target, report.render(run, analysis, pictures))
    console.print(analysis.headline, highlight=False, markup=False)
    console.print(str(target), soft_wrap=True, highlight=False, markup=False)


def _analysed(options: argparse.Namespace) -> tuple[Run, Analysis]:
    from collect import analysis, run

    loaded = run.load(run.find(options.results, options.run))
    found = analysis.analyse(loaded.folder.name, loaded.measurements, options.reference)
    run.write(loaded.folder / "analysis" / "summary.json", analysis.to_json(found))
    return loaded, found


def _console() -> Console:
    console = Console()
    return console if console.is_terminal else Console(width=WIDTH_WITHOUT_TERMINAL)


if __name__ == "__main__":
    sys.exit(main())
