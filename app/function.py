"""The function: texts and labels in, the best parameters and two accuracies out.

Pure: no web, no files. Whoever serves it uses ``Request``, ``run``, ``Outcome``, ``InputError``, ``Cancelled`` and
``warm_up``; another ``function.py`` with the same six names can take its place (README.md beside this file).
"""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.errors import Cancelled, InputError
from app.models import MODELS
from app.request import Request
from app.search.apart import Apart
from app.search.fast import search
from app.search.plain import PlainSearch, search_apart
from app.text.dataset import read_dataset

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.models.parameters import Grid
    from app.text.dataset import Dataset

__all__ = ["Cancelled", "InputError", "Outcome", "Request", "run", "warm_up"]

_APART = Apart()


@dataclass(frozen=True, slots=True)
class Outcome:
    """The reply in the peer's words and the time each phase took, in milliseconds."""

    reply: dict[str, object]
    phases_ms: dict[str, float]


def run(request: Request, cancelled: Callable[[], bool] = lambda: False) -> Outcome:
    """Search the model's grid by cross-validation, fit the best point on all training texts and score the test texts.

    Raises:
        InputError: the request cannot be served; the message is for the client.
        Cancelled: ``cancelled`` returned True; it is asked several times a second.
        MemoryError: the search needs more memory than there is.
    """
    if request.engine == "fast" and MODELS[request.model].endless:
        return _APART.call(cancelled, run_here, request)
    return run_here(request, cancelled)


def run_here(request: Request, cancelled: Callable[[], bool] = lambda: False) -> Outcome:
    """``run`` in this process: a fit that is under way when ``cancelled`` returns True ends by itself, if ever."""
    started = time.perf_counter()
    dataset = read_dataset(request)
    model = MODELS[request.model]
    if request.grid is None:
        grid = model.peer_grid(len(dataset.train), len(dataset.classes))
    else:
        grid = model.read_grid(request.grid)
    prepared_ms = (time.perf_counter() - started) * 1e3
    if request.engine == "plain":
        return _run_plain(request, dataset, grid, prepared_ms, cancelled)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a fit that ends unconverged is a point of the grid like any other
        best = search(dataset, model, grid, request.model_seed, cancelled)
    phases_ms = best.phases_ms | {"vectorise": prepared_ms + best.phases_ms["vectorise"]}
    return Outcome(_reply(best.parameters, best.validation, best.test), phases_ms)


def warm_up() -> None:
    """Load what the first request would otherwise wait for, and compile it at the very first start (some 15 s).

    Only models with compiled kernels need it; the code of the others is scikit-learn's, compiled already.
    """
    texts = {str(number): f"word{number % 7} term{number % 5} thing{number % 3}" for number in range(40)}
    labels = {key: "FAKE" if int(key) % 2 else "REAL" for key in texts}
    _APART.prepare(run_here.__module__)  # it loads its own beside this one
    for name, model in MODELS.items():
        if model.compiled:
            run(Request(x_dict=texts, y_dict=labels, model=name, repeats=1))


def _run_plain(
    request: Request, dataset: Dataset, grid: Grid, prepared_ms: float, cancelled: Callable[[], bool]
) -> Outcome:
    task = PlainSearch(
        train_texts=[dataset.texts[row] for row in dataset.train],
        train_target=dataset.target[dataset.train].tolist(),
        test_texts=[dataset.texts[row] for row in dataset.test],
        test_target=dataset.target[dataset.test].tolist(),
        model=request.model,
        grid=grid,
        folds=request.folds,
        repeats=request.repeats,
        folds_seed=request.folds_seed,
        model_seed=request.model_seed,
    )
    best = search_apart(task, cancelled)
    phases_ms = {"vectorise": prepared_ms, **best["phases_ms"]}
    return Outcome(_reply(best["parameters"], best["validation"], best["test"]), phases_ms)


def _reply(parameters: dict[str, object], validation: float, test: float) -> dict[str, object]:
    return {"best parameters": parameters, "accuracy (validation)": validation, "accuracy (test)": test}
