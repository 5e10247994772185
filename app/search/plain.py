"""The search as anyone would write it: a doubly fitted ``GridSearchCV`` on texts, as in the study's function.

It is the base line of the benchmark, the reference the fast engine must equal, and the study's compute-bound regime.
A request runs it in a process of its own (``python -m app.search.plain``, JSON in, JSON out), because a scikit-learn
search cannot be interrupted: when the client goes away the process is ended, and its workers with it.
"""

from __future__ import annotations

import ctypes
import json
import math
import os
import signal
import subprocess
import sys
import time
import warnings
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from joblib import parallel_config
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import GridSearchCV, ParameterGrid, RepeatedStratifiedKFold
from sklearn.pipeline import Pipeline

from app.errors import Cancelled, InputError
from app.models import MODELS
from app.search import memory
from app.search.threads import cores

if TYPE_CHECKING:
    from collections.abc import Callable

POLL_S = 0.2
PR_SET_PDEATHSIG = 1  # linux/prctl.h


@dataclass(frozen=True, slots=True)
class PlainSearch:
    """What the plain search needs: texts, their classes as numbers, the grid in the peer's words, and the policy."""

    train_texts: list[str]
    train_target: list[int]
    test_texts: list[str]
    test_target: list[int]
    model: str
    grid: dict[str, list[object]]
    folds: int
    repeats: int
    folds_seed: int
    model_seed: int


def search(task: PlainSearch) -> dict[str, Any]:
    """Search, fit twice and score, one plain scikit-learn call after the other; returns the reply and its times.

    Raises:
        ValueError: scikit-learn refuses the texts or each point of the grid.
    """
    started = time.perf_counter()
    model = MODELS[task.model]
    classifier = model.estimator(task.model_seed)
    pipeline = Pipeline([("tfidf", TfidfVectorizer(stop_words="english")), ("model", classifier)])
    grid = {f"model__{name}": values for name, values in model.sklearn_grid(task.grid).items()}
    folds = RepeatedStratifiedKFold(n_splits=task.folds, n_repeats=task.repeats, random_state=task.folds_seed)
    searching = GridSearchCV(pipeline, grid, scoring="accuracy", cv=folds, n_jobs=-1)
    searching.fit(task.train_texts, task.train_target)
    if math.isnan(searching.best_score_):
        raise InputError("no point of the grid can be fitted to so few texts")
    searched = time.perf_counter()
    searching.fit(task.train_texts, task.train_target)
    accuracy = searching.score(task.test_texts, task.test_target)
    return {
        "parameters": list(ParameterGrid(task.grid))[searching.best_index_],
        "validation": float(searching.best_score_),
        "test": float(accuracy),
        "phases_ms": {"search": (searched - started) * 1e3, "fit": (time.perf_counter() - searched) * 1e3},
    }


def search_apart(task: PlainSearch, cancelled: Callable[[], bool]) -> dict[str, Any]:
    """``search`` in a process of its own, ended within POLL_S seconds of ``cancelled``.

    Raises:
        Cancelled: ``cancelled`` returned True.
        InputError: scikit-learn refused the texts, or fitted no point of the grid.
        MemoryError: the search needs more memory than there is.
        RuntimeError: the process ended without a result; the message holds the end of its output.
    """
    # Its errors go to memory, not to a pipe: scikit-learn's workers inherit them, and a pipe would only end when
    # the last of the workers does, which may be minutes after the result.
    with (
        os.fdopen(os.memfd_create("errors"), "w+", encoding="utf-8", errors="replace") as errors,
        ThreadPoolExecutor(max_workers=1) as pool,
    ):
        process = subprocess.Popen(
            [sys.executable, "-m", "app.search.plain", str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            encoding="utf-8",
            start_new_session=True,
        )
        talk = pool.submit(process.communicate, json.dumps(asdict(task)))
        try:
            while not wait([talk], timeout=POLL_S).done:
                if cancelled():
                    raise Cancelled
        finally:
            with suppress(ProcessLookupError):  # all of them have ended
                os.killpg(process.pid, signal.SIGKILL)
        out, _ = talk.result()
        errors.seek(0)
        output = errors.read()
    if process.returncode != 0:
        raise RuntimeError(f"The plain search ended with status {process.returncode}: {output.strip()[-300:]}")
    result: dict[str, Any] = json.loads(out)
    if "no_memory" in result:
        raise MemoryError
    if "refused" in result:
        raise InputError(f"scikit-learn refused the texts: {result['refused']}.")
    return result | {"parameters": {name: _value(value) for name, value in result["parameters"].items()}}


def _value(value: object) -> object:
    """A parameter's value as scikit-learn takes it: JSON has no tuples, and a perceptron's layers are one."""
    return tuple(value) if isinstance(value, list) else value


def end_with(parent: int) -> None:
    """Let the kernel end this process with its parent, however that one ends."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it has ended already
        os._exit(1)


def main() -> None:
    """Read one task from standard input, search, and print the result."""
    warnings.simplefilter("ignore")
    os.environ["PYTHONWARNINGS"] = "ignore"  # for the workers
    answer = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")  # a descriptor the workers do not inherit
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    end_with(int(sys.argv[1]))
    memory.limit(memory.most_bytes(), processes=cores() + 2)  # the workers, this process, and the replica
    task = json.load(sys.stdin)
    task["grid"] = {name: [_value(value) for value in values] for name, values in task["grid"].items()}
    try:
        with parallel_config("loky", initializer=end_with, initargs=(os.getpid(),)):
            result = search(PlainSearch(**task))
    except MemoryError:
        result = {"no_memory": True}
    except ValueError as error:
        result = {"refused": str(error).strip().splitlines()[-1].strip().rstrip(".")}
    with answer:
        json.dump(result, answer)


if __name__ == "__main__":
    main()
