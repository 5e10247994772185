"""The base station's own training, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

from experiments.workloads.workload import WorkloadError

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType


class Trainer:
    """Trains models in a process of its own, which loads the data set once (``app.evaluate``)."""

    def __init__(self, dataset: Path) -> None:
        command = [sys.executable, "-m", "app.evaluate", "--dataset", str(dataset)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._answer()

    def __enter__(self) -> Self:
        """Return itself, ready for orders."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """End the process by closing its input."""
        self._process.communicate()

    def train(self, order: dict[str, Any]) -> dict[str, Any]:
        """Train with the order's parameters and score; the order and the answer are those of ``app.evaluate``.

        Raises:
            WorkloadError: the process has ended.
        """
        if self._process.stdin is None:
            raise WorkloadError("the base station's trainer has no standard input")
        with suppress(BrokenPipeError):  # it ended: there is no answer, which is an error below
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            raise WorkloadError(f"the base station's trainer ended with code {self._process.wait()}; see driver.log")
        answer: dict[str, Any] = json.loads(line)
        return answer
