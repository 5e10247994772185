"""What a user sees while a run goes on: a moving line on a terminal, few plain lines elsewhere."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from nodes.errors import printable, printable_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Without a terminal, how long nothing is printed before the task that is under way is named.
QUIET_S = 15
LOOK_S = 1


class Reporter:
    """Says which step and repetition is under way.

    On a terminal one line moves. Elsewhere a step has a line at its begin and one at its end, each repetition that has
    finished is a line, and where nothing was printed for a while a line names the task, once for each.

    Args:
        console: where to print.
        verbose: print the name of each task as a line.
        clock: the time in seconds.
    """

    def __init__(
        self, console: Console | None = None, *, verbose: bool = False, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.console = console or Console(highlight=False)
        self._verbose = verbose
        self._clock = clock
        self._bar: Progress | None = None
        self._bar_task: Any = None
        self._step = ""
        self._began = self._printed = clock()
        self._task = self._named = ""
        # By host: when the first repetition of this step was heard of, and how many had finished; what was shown last.
        self._first: dict[str, tuple[float, int]] = {}
        self._shown: dict[str, tuple[int, Any]] = {}

    def say(self, sentence: str) -> None:
        """Print a line that stays."""
        self._printed = self._clock()
        self.console.print(printable_lines(sentence), markup=False, soft_wrap=True)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Show that a step is under way, and at its end how long it took."""
        self._began = self._clock()
        self._step, self._task, self._named = name, "", ""
        self._first.clear()
        outcome = "failed after "
        try:
            with self._moving_line() if self.console.is_terminal else self._heartbeat():
                yield
            outcome = ""
        except KeyboardInterrupt:
            outcome = "stopped after "
            raise
        finally:
            self.say(f"{name}: {outcome}{self._clock() - self._began:.1f} s")

    def task(self, name: str) -> None:
        """Show what is being done within the step."""
        self._task = name
        if self._bar is not None:
            self._bar.update(self._bar_task, description=escape(printable(f"{self._step}: {name}")))
        if self._verbose:
            self._named = name
            self.say(f"  {name}")

    def beat(self) -> None:
        """Name the task that is under way where nothing was printed for a while and it was not named yet."""
        now = self._clock()
        if now - self._printed >= QUIET_S and self._task != self._named:
            self._named = self._task
            self.say(f"  {now - self._began:.0f} s: {self._task}")

    def progress(self, host: str, progress: dict[str, Any]) -> None:
        """Show which repetition has finished; ``progress`` is what roles/driver returns, see driver_progress."""
        finished, total, last = progress["finished"], progress["total"], progress["last"]
        if not last or self._shown.get(host) == (finished, last):
            return
        self._shown[host] = (finished, last)
        since, first = self._first.setdefault(host, (self._clock(), finished))
        left = ""
        if first < finished < total:
            left = f", about {(self._clock() - since) / (finished - first) * (total - finished):.0f} s left"
        duration = f"{last['response_time_ms'] / 1e3:.2f} s" if last["response_time_ms"] is not None else "failed"
        kind = "warm-up" if last["warmup"] else f"repetition {last['repetition'] + 1}"
        base_station = f"{host}: " if len(self._shown) > 1 else ""
        line = f"{base_station}{finished} of {total}: {last['scenario']}, {kind}: {last['error'] or duration}{left}"
        if self._bar is not None:
            self._bar.update(
                self._bar_task, completed=finished, total=total, description=escape(printable(f"{self._step} {line}"))
            )
        else:
            self.say(f"  {line}")

    @contextmanager
    def _moving_line(self) -> Iterator[None]:
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(20), TimeElapsedColumn())
        with Progress(*columns, console=self.console, transient=True) as bar:
            self._bar = bar
            self._bar_task = bar.add_task(escape(self._step), total=None)
            try:
                yield
            finally:
                self._bar = None

    @contextmanager
    def _heartbeat(self) -> Iterator[None]:
        self.say(f"{self._step} ...")
        ended = threading.Event()

        def beat_until_the_end() -> None:
            while not ended.wait(LOOK_S):
                self.beat()

        thread = threading.Thread(target=beat_until_the_end, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
