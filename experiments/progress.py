"""What a user sees while a run goes on: a moving line on a terminal, plain lines in CI."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from collections.abc import Iterator


class Reporter:
    """Says which step, task and repetition is under way.

    On a terminal one line moves; elsewhere each step, task and repetition is a line of its own, so that a log shows
    how far a run came.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False)
        self._progress: Progress | None = None
        self._task: Any = None
        self._step = ""
        self._measuring: tuple[float, int] | None = None

    def say(self, sentence: str) -> None:
        """Print a line that stays."""
        self.console.print(sentence, markup=False, soft_wrap=True)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Show that a step is under way, and at its end how long it took."""
        started = time.monotonic()
        self._step, self._measuring = name, None
        if self.console.is_terminal:
            columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(20), TimeElapsedColumn())
            with Progress(*columns, console=self.console, transient=True) as progress:
                self._progress = progress
                self._task = self._progress.add_task(name, total=None)
                try:
                    yield
                finally:
                    self._progress = None
        else:
            self.say(f"{name} ...")
            yield
        self.say(f"{name}: {time.monotonic() - started:.1f} s")

    def task(self, name: str) -> None:
        """Show what is being done within the step."""
        if self._progress is not None:
            self._progress.update(self._task, description=f"{self._step}: {name}")
        else:
            self.say(f"  {name}")

    def repetition(self, status: dict[str, Any]) -> None:
        """Show how far the driver is; ``status`` is what ``experiments.base_station follow`` prints."""
        finished, total, last = status["finished"], status["total"], status["last"]
        if not last:
            return
        if self._measuring is None:
            self._measuring = (time.monotonic(), finished)
        since, first = self._measuring
        left = ""
        if finished > first:
            left_s = (time.monotonic() - since) / (finished - first) * (total - finished)
            left = f", about {left_s:.0f} s left" if total > finished else ""
        took = f"{last['response_time_ms'] / 1e3:.2f} s" if last["response_time_ms"] is not None else "failed"
        kind = "warm-up" if last["warmup"] else f"repetition {last['repetition'] + 1}"
        text = f"{finished} of {total}: {last['scenario']}, {kind}: {last['error'] or took}{left}"
        if self._progress is not None:
            self._progress.update(self._task, completed=finished, total=total, description=f"{self._step} {text}")
        else:
            self.say(f"  {text}")
