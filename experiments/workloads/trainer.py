"""The base station's own training, in a process of its own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

from experiments.workloads.workload import WorkloadError

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

# A process that ends in a training is started again and gets the order once more: what took the base station's memory
# may be gone. Where it ends again the order itself is too much.
STARTS = 2
# Reading texts and compiled kernels takes seconds, minutes on an emulated node; without memory libraries try for ever.
START_S = 900


class Trainer:
    """Trains models in a process of its own, which loads the data set once (``app.evaluate``).

    Raises:
        WorkloadError: the process ends before it has loaded the data set.
    """

    def __init__(self, dataset: Path) -> None:
        self._command = [sys.executable, "-m", "app.evaluate", "--dataset", str(dataset)]
        self._process = self._started()

    def __enter__(self) -> Self:
        """Return itself, ready for orders."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """End the process by closing its input."""
        self._process.communicate()

    def train(self, order: dict[str, Any]) -> dict[str, Any]:
        """Train with the order's parameters and score; the order and the answer are those of ``app.evaluate``.

        Where the process ends in the training twice, the answer is an ``error``, and the next order may succeed.

        Raises:
            WorkloadError: the process cannot be started again.
        """
        for start in range(STARTS):
            if start or self._process.poll() is not None:
                self._process.communicate()
                self._process = self._started()
            with suppress(BrokenPipeError):  # it has ended: there is no answer
                _input(self._process).write(json.dumps(order) + "\n")
                _input(self._process).flush()
            answer = _answer(self._process)
            if answer is not None:
                return answer
        return {
            "error": f"the base station's trainer ended {STARTS} times in this training, {_end(self._process)}: is the "
            "memory of the base station full? raw/driver.log has its last words"
        }

    def _started(self) -> subprocess.Popen[str]:
        process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        deadline = threading.Timer(START_S, process.kill)
        deadline.start()
        ready = _answer(process)
        deadline.cancel()
        if ready is None:
            end = _end(process)
            process.communicate()
            raise WorkloadError(
                f"the base station's trainer ended before its first training, {end}: is the memory of the base station "
                "full? driver.log has its last words; resume the run when there is room"
            )
        return process


def _input(process: subprocess.Popen[str]) -> Any:
    return process.stdin


def _answer(process: subprocess.Popen[str]) -> dict[str, Any] | None:
    """Return the next answer, ``None`` where the process has ended."""
    line = process.stdout.readline() if process.stdout else ""
    if not line.endswith("\n"):
        return None
    answer: dict[str, Any] = json.loads(line)
    return answer


def _end(process: subprocess.Popen[str]) -> str:
    """Return how a process has ended."""
    code = process.wait()
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
