"""What the subcommands of ``python -m collect`` do, each the order of its steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape

from collect import differences, export, folder, pull, run
from collect.analysis import runs, summary
from collect.errors import CollectError
from collect.exit_codes import REFUSED, UNMET
from collect.report import figures, page, table
from collect.report import runs as runs_table
from nodes import become
from nodes.errors import printable

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from rich.status import Status

    from collect.analysis.summary import Analysis
    from collect.report.figures import Section
    from collect.report.picture import Drawn
    from collect.run import Run

# The table is wider than what a terminal is taken for when the output goes to a file.
WIDTH_WITHOUT_TERMINAL = 132
INVENTORY = "local"


class Tasks:
    """Shows the tasks of a playbook: the current one on a terminal, with ``verbose`` each as a line."""

    def __init__(self, console: Console, status: Status, *, verbose: bool) -> None:
        self._console = console
        self._status = status
        self._verbose = verbose

    def say(self, sentence: str) -> None:
        """Print a line."""
        _print(self._console, sentence)

    def task(self, name: str) -> None:
        """Show that a task begins."""
        self._status.update(escape(name))
        if self._verbose:
            self.say(f"  {name}")

    def progress(self, host: str, progress: dict[str, Any]) -> None:
        """Fetching has no progress of its own."""


def pull_records(options: argparse.Namespace) -> int:
    """Fetch the raw records of a run from its base stations."""
    target = folder.find(options.results, options.run)
    password = become.ask() if options.ask_become_pass or become.is_asked_for() else None
    console = _console()
    with _status(console, f"fetching the records of {target.id}") as status:
        tasks = Tasks(console, status, verbose=options.verbose)
        pull.pull(target, target.inventory(options.inventory) or INVENTORY, tasks, password=password)
    _print(console, f"the records of {target.id} are in {target.raw}")
    return 0


def print_analysis(options: argparse.Namespace) -> int:
    """Print a run's table and write its ``analysis/summary.json``; return 0, REFUSED or UNMET."""
    loaded = run.load(folder.find(options.results, options.run))
    analysis = _analysed(loaded, options)
    table.show(_console(), analysis, (*loaded.notes, *(f"data set: {note}" for note in loaded.dataset_notes)))
    return _exit_code(analysis)


def write_report(options: argparse.Namespace) -> int:
    """Analyse a run, draw its figures and write its ``report.html``; return as `print_analysis`."""
    console = _console()
    loaded = run.load(folder.find(options.results, options.run))
    target = loaded.folder
    with _status(console, f"analysing {target.id} and drawing its figures") as status:
        analysis = _analysed(loaded, options)
        drawn: dict[Section, list[Drawn]] = {}
        for section, picture in figures.pictures(loaded, analysis):
            status.update(f"drawing {picture.name}")
            drawn.setdefault(section, []).append(picture.drawn())
            drawn[section][-1].save(target.figures)
        status.update("writing the report")
        folder.write(target.report, page.render(loaded, analysis, drawn))
    for sentence in table.thresholds(analysis):
        table.say(console, sentence)
    _print(console, analysis.headline)
    _print(console, str(target.report))
    return _exit_code(analysis)


def compare_runs(options: argparse.Namespace) -> int:
    """Print what several runs of the same scenarios say together, and write it as JSON where asked for."""
    loaded: dict[str, Run] = {}
    left_out: dict[str, str] = {}
    warnings: list[str] = []
    for name in options.runs:
        if name in loaded or name in left_out:
            raise CollectError(f"{name} is named twice: expected different runs")
        try:
            one = run.load(folder.find(options.results, name))
        except CollectError as error:
            left_out[name] = str(error)
            continue
        problems = run.problems(one)
        if problems:
            left_out[name] = f"it is refused: {' '.join(problems)}"
            continue
        if one.sweep is not None and options.reference is None:
            raise CollectError(
                f"{name} is a sweep, whose points are compared along its axes in its own report; to compare it with "
                "other runs, name the point against which all others are taken (--reference)"
            )
        loaded[name] = one
        warnings += [f"{name}: {sentence}" for sentence in run.warnings(one)]
    analysis = runs.analyse(
        {name: one.measurements for name, one in loaded.items()},
        options.reference,
        left_out=left_out,
        differences=differences.differences(loaded),
        warnings=[*warnings, *differences.same_splits(loaded)],
        failed_percent=options.max_failed_percent,
    )
    if options.json is not None:
        folder.write(options.json, runs.to_json(analysis))
    runs_table.show(_console(), analysis)
    return 0


def export_run(options: argparse.Namespace) -> int:
    """Write a run's samples, repetitions, links and load, with a dictionary of the columns; return 0 or REFUSED."""
    console = _console()
    loaded = run.load(folder.find(options.results, options.run))
    problems = run.problems(loaded)
    target = options.to or loaded.folder.export
    for path in export.write(loaded, target, refused=bool(problems), form=options.format):
        _print(console, str(path))
    for problem in problems:
        _print(console, f"Refused: {printable(problem)} Its repetitions have the state 'refused'.")
    return REFUSED if problems else 0


COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "pull": pull_records,
    "analyse": print_analysis,
    "report": write_report,
    "compare": compare_runs,
    "export": export_run,
}


def _analysed(loaded: Run, options: argparse.Namespace) -> Analysis:
    with run.without_garbage_collection():
        analysis = summary.analyse(
            loaded.folder.id,
            loaded.measurements,
            options.reference,
            problems=run.problems(loaded),
            warnings=run.warnings(loaded),
            failed_percent=options.max_failed_percent,
            expect=run.expected(loaded),
            paths=run.paths(loaded),
            pods=loaded.pods,
            sweep=loaded.sweep,
        )
    folder.write(loaded.folder.summary, summary.to_json(analysis))
    return analysis


def _exit_code(analysis: Analysis) -> int:
    if analysis.problems:
        return REFUSED
    return 0 if all(expectation.met for expectation in analysis.expectations) else UNMET


def _console() -> Console:
    console = Console()
    return console if console.is_terminal else Console(width=WIDTH_WITHOUT_TERMINAL)


def _status(console: Console, line: str) -> Status:
    """Return a moving line that says what is under way; without a terminal it is printed as a line of its own."""
    if not console.is_terminal:
        _print(console, f"{line} ...")
    return console.status(line)


def _print(console: Console, line: str) -> None:
    """Print a line as it is: a path or a name may look like markup, and is not broken."""
    console.print(printable(line), soft_wrap=True, highlight=False, markup=False)
