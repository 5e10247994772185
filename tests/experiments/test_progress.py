"""What is printed without a terminal: steps, times and repetitions, each once."""

from __future__ import annotations

import io
import threading
from typing import Any

import pytest
from rich.console import Console

from experiments.progress import QUIET_S, Reporter
from nodes.errors import PlaybookError


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Printed:
    """A reporter without a terminal, its clock, and the lines that it printed."""

    def __init__(self, *, verbose: bool = False) -> None:
        self.clock = Clock()
        self._file = io.StringIO()
        console = Console(file=self._file, width=60, highlight=False, force_terminal=False)
        self.reporter = Reporter(console, verbose=verbose, clock=self.clock)

    @property
    def lines(self) -> list[str]:
        return self._file.getvalue().splitlines()


def status(finished: int, *, total: int = 4, took_ms: float | None = 1234, error: str | None = None) -> dict[str, Any]:
    last = {
        "scenario": "edge",
        "repetition": finished - 1,
        "warmup": False,
        "response_time_ms": took_ms,
        "error": error,
    }
    return {"state": "running", "finished": finished, "total": total, "last": last if finished else None, "error": None}


def test_a_step_is_a_line_at_its_begin_and_one_with_its_time() -> None:
    printed = Printed()
    with printed.reporter.step("shape links"):
        printed.reporter.task("Check the links and choose the backend")
        printed.clock.now += 2
    assert printed.lines == ["shape links ...", "shape links: 2.0 s"]


def test_a_long_step_names_its_task_once_and_not_before_a_while() -> None:
    printed = Printed()
    with printed.reporter.step("provision"):
        printed.reporter.task("Build the image")
        printed.reporter.beat()
        printed.clock.now += QUIET_S
        printed.reporter.beat()
        printed.clock.now += 10 * QUIET_S
        printed.reporter.beat()
        printed.reporter.task("Import the image")
        printed.reporter.beat()
    assert printed.lines[1:-1] == ["  15 s: Build the image", "  165 s: Import the image"]


def test_a_step_that_prints_by_itself_names_no_task() -> None:
    printed = Printed()
    with printed.reporter.step("measure"):
        for finished in (1, 2):
            printed.reporter.task("Follow the measurement")
            printed.clock.now += QUIET_S - 1
            printed.reporter.progress("bs", status(finished))
            printed.reporter.beat()
    assert not any("Follow" in line for line in printed.lines)


def test_verbose_prints_each_task_and_no_task_twice() -> None:
    printed = Printed(verbose=True)
    with printed.reporter.step("provision"):
        printed.reporter.task("Build the image")
        printed.clock.now += 2 * QUIET_S
        printed.reporter.beat()
        printed.reporter.task("Import the image")
    assert printed.lines[1:-1] == ["  Build the image", "  Import the image"]


def test_each_repetition_is_one_line_though_its_status_comes_again() -> None:
    printed = Printed()
    with printed.reporter.step("measure"):
        for finished in (0, 1, 1, 2, 4, 4, 4):
            printed.reporter.progress("bs", status(finished))
            printed.clock.now += 10
        printed.reporter.progress("bs", status(4) | {"state": "done"})
    assert printed.lines[1:-1] == [
        "  1 of 4: edge, repetition 1: 1.23 s",
        "  2 of 4: edge, repetition 2: 1.23 s, about 40 s left",
        "  4 of 4: edge, repetition 4: 1.23 s",
    ]


def test_a_failed_repetition_gives_its_reason() -> None:
    printed = Printed()
    printed.reporter.progress("bs", status(1, took_ms=None, error="request 0: timed out"))
    printed.reporter.progress("bs", status(2, took_ms=None))
    assert printed.lines[0] == "  1 of 4: edge, repetition 1: request 0: timed out"
    assert printed.lines[1].startswith("  2 of 4: edge, repetition 2: failed")


def test_what_a_terminal_obeys_is_not_printed() -> None:
    printed = Printed()
    printed.reporter.progress("bs", status(1, took_ms=None, error="it answered \x1b[2J[/docs]\x07"))
    (line,) = printed.lines
    assert line.endswith("it answered \N{REPLACEMENT CHARACTER}[2J[/docs]\N{REPLACEMENT CHARACTER}")
    assert str(PlaybookError("a\x1b[2J\nb")) == "a\N{REPLACEMENT CHARACTER}[2J\nb"


def test_several_base_stations_are_told_apart() -> None:
    printed = Printed()
    printed.reporter.progress("bs-1", status(1))
    printed.reporter.progress("bs-2", status(1))
    printed.reporter.progress("bs-1", status(1))
    assert printed.lines[1:] == ["  bs-2: 1 of 4: edge, repetition 1: 1.23 s"]


def test_names_are_printed_as_they_are_and_long_lines_are_not_broken() -> None:
    printed = Printed()
    sentence = "bs: [red]name[/red] " + "a" * 100
    printed.reporter.say(sentence)
    assert printed.lines == [sentence]


@pytest.mark.parametrize(("error", "outcome"), [(ZeroDivisionError, "failed"), (KeyboardInterrupt, "stopped")])
def test_a_step_that_failed_or_was_stopped_has_its_time_too(error: type[BaseException], outcome: str) -> None:
    printed = Printed()
    threads = threading.active_count()

    def measure() -> None:
        with printed.reporter.step("measure"):
            assert threading.active_count() == threads + 1
            printed.clock.now += 2
            raise error

    with pytest.raises(error):
        measure()
    assert printed.lines == ["measure ...", f"measure: {outcome} after 2.0 s"]
    assert threading.active_count() == threads, "the thread that watches the step has ended"


def test_on_a_terminal_a_name_with_brackets_is_a_name() -> None:
    file = io.StringIO()
    reporter = Reporter(Console(file=file, width=80, highlight=False, force_terminal=True))
    with reporter.step("provision"):
        reporter.task("[/nonsense] task")
        reporter.progress("bs", status(1, error="[/red] refused"))
    assert "provision: 0." in file.getvalue()
