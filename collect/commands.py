"""What the subcommands of ``python -m collect`` do, each the order of its steps."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from rich.console import Console

from collect import pull, run
from collect.analysis import summary
from collect.report import figures, page, table

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from collect.analysis.summary import Analysis
    from collect.run import Run

# The table is wider than what a terminal is taken for when the output goes to a file.
WIDTH_WITHOUT_TERMINAL = 132
INVENTORY = "local"


def pull_records(options: argparse.Namespace) -> None:
    """Fetch the raw records of a run from its base stations."""
    folder = run.find(options.results, options.run)
    console = _console()
    with console.status(f"Fetching the records of {folder.name}") as status:

        def told(task: str) -> None:
            if console.is_terminal:
                status.update(task)
            else:
                console.print(task, highlight=False, markup=False)

        pull.pull(folder, options.inventory or run.inventory(folder) or INVENTORY, told)
    console.print(
        f"The records of {folder.name} are in {folder / 'raw'}", soft_wrap=True, highlight=False, markup=False
    )


def print_analysis(options: argparse.Namespace) -> None:
    """Print a run's table and write its ``analysis/summary.json``."""
    loaded, found = _analysed(options)
    table.show(_console(), found, loaded.notes)


def write_report(options: argparse.Namespace) -> None:
    """Analyse a run, draw its figures and write its ``report.html``."""
    console = _console()
    with console.status("Analysing") as status:
        loaded, found = _analysed(options)
        pictures = figures.draw(loaded, found)
        for picture in chain.from_iterable(pictures.values()):
            status.update(f"Drawing {picture.name}")
            picture.save(loaded.folder / "figures")
        status.update("Writing the report")
        target = loaded.folder / "report.html"
        run.write(target, page.render(loaded, found, pictures))
    console.print(found.headline, highlight=False, markup=False)
    console.print(str(target), soft_wrap=True, highlight=False, markup=False)


COMMANDS: dict[str, Callable[[argparse.Namespace], None]] = {
    "pull": pull_records,
    "analyse": print_analysis,
    "report": write_report,
}


def _analysed(options: argparse.Namespace) -> tuple[Run, Analysis]:
    loaded = run.load(run.find(options.results, options.run))
    found = summary.analyse(loaded.folder.name, loaded.measurements, options.reference)
    run.write(loaded.folder / "analysis" / "summary.json", summary.to_json(found))
    return loaded, found


def _console() -> Console:
    console = Console()
    return console if console.is_terminal else Console(width=WIDTH_WITHOUT_TERMINAL)
