"""The function: what it takes, what it refuses in one sentence, and that it stops when it is told to."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import corpora
import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import function as function_module
from app.errors import Cancelled, InputError
from app.function import Request, run, run_here
from app.models import MODELS, NAMES
from app.models.declaration import MAX_POINTS
from app.models.perceptron import hidden_sizes
from app.search import fast as search_module
from app.search.fast import first_best
from app.text import tfidf
from app.text.dataset import read_dataset

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DEADLINE_S = 600.0
X, Y = corpora.generated(texts=60, labels=2, seed=9)


def decode(**changes: object) -> Request:
    keys = [str(number) for number in range(len(X))]
    body = {"x_dict": dict(zip(keys, X, strict=True)), "y_dict": dict(zip(keys, Y, strict=True)), "model": "mnb"}
    return msgspec.json.decode(msgspec.json.encode(body | changes), type=Request)


TRAINS, TESTS = int(read_dataset(decode()).train[0]), int(read_dataset(decode()).test[0])


def test_a_reply_has_the_peers_keys_and_the_three_phases():
    outcome = run(decode())
    assert list(outcome.reply) == ["best parameters", "accuracy (validation)", "accuracy (test)"]
    assert list(outcome.phases_ms) == ["vectorise", "search", "fit"]
    assert all(duration_ms > 0 for duration_ms in outcome.phases_ms.values())
    best: Any = outcome.reply["best parameters"]
    assert set(best) == {"alpha", "fit_prior"}


@pytest.mark.parametrize("model", NAMES)
def test_the_same_request_has_the_same_reply_on_one_core_and_on_many(model: str, monkeypatch):
    request = decode(model=model, repeats=1)
    replies = []
    for cores in (1, 4):
        monkeypatch.setattr(search_module, "cores", lambda cores=cores: cores)
        replies.append(run_here(request).reply)
    assert replies[0] == replies[1]


def test_the_default_policy_is_the_peers():
    request = decode()
    assert (request.folds, request.repeats, request.test_size) == (2, 3, 0.2)
    assert (request.split_seed, request.folds_seed) == (6, 1)
    dataset = read_dataset(request)
    assert (len(dataset.train), len(dataset.test), len(list(dataset.folds()))) == (48, 12, 6)


def test_a_seed_changes_split_and_folds_alike():
    one, other = read_dataset(decode()), read_dataset(decode(seed=3))
    assert one.train.tolist() != other.train.tolist()
    assert read_dataset(decode(seed=3)).train.tolist() == other.train.tolist()


def test_folds_validate_each_training_text_once_a_repeat():
    dataset = read_dataset(decode(folds=3, repeats=2))
    validated = Counter(np.concatenate([score for _, score in dataset.folds()]).tolist())
    assert validated == dict.fromkeys(dataset.train.tolist(), 2)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"x_dict": {"0": "a text"}}, "1 texts but y_dict has 60 labels"),
        ({"x_dict": {"zero" if n == 0 else str(n): "text" for n in range(60)}}, "no label for the text 'zero'"),
        ({"x_dict": {str(n): " " for n in range(60)}}, "All texts of x_dict are empty"),
        ({"x_dict": {str(n): "the and of a" for n in range(60)}}, "only stop words"),
        ({"y_dict": {str(n): "FAKE" for n in range(60)}}, "1 label(s)"),
        ({"y_dict": {str(n): "FAKE" if n != TRAINS else "REAL" for n in range(60)}}, "'REAL' has 1 training text(s)"),
        ({"y_dict": {str(n): "FAKE" if n != TESTS else "REAL" for n in range(60)}}, "one label after the split"),
        ({"x_dict": {"0": "a text"}, "y_dict": {"0": "FAKE"}}, "at least two"),
        ({"x_dict": {}, "y_dict": {}}, "empty"),
        ({"folds": 40}, "40 folds"),
        ({"test_size": 1e-9, "folds": 31}, "31 folds"),
        ({"test_size": 0.999}, "0.999"),
        ({"grid": {"gamma": [1]}}, "'gamma'"),
        ({"grid": {"alpha": [-1]}}, "alpha of mnb must be a number"),
        ({"grid": {"alpha": ["scale"]}}, "alpha"),
        ({"grid": {"fit_prior": [1]}}, "fit_prior"),
        ({"grid": {"alpha": [0.1] * 100, "fit_prior": [True] * 100}}, "10000 points"),
        ({"model": "kn", "grid": {"n_neighbors": [100]}}, "No point of the grid"),
        ({"model": "mlpc", "grid": {"hidden_layer_sizes": [[10**9]]}}, "hidden_layer_sizes"),
    ],
)
def test_what_cannot_be_searched_is_refused_in_one_sentence(changes: dict[str, object], words: str):
    with pytest.raises(InputError) as refused:
        run(decode(**changes))
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)
    assert str(refused.value).endswith(".")
    assert len(str(refused.value)) < 300


@pytest.mark.parametrize(
    "changes",
    [{"model": "gpt"}, {"folds": 1}, {"repeats": 0}, {"test_size": 0}, {"test_size": 1.5}, {"seed": -1}, {"seed": 2**32},
     {"grid": {}}, {"grid": {"alpha": []}}, {"engine": "quick"}, {"x_dict": {"0": 5}}, {"x_dict": [1]}, {"more": 1}],
)  # fmt: skip
def test_what_is_no_request_is_refused_when_it_is_decoded(changes: dict[str, object]):
    with pytest.raises(msgspec.ValidationError):
        decode(**changes)


def test_a_label_that_only_test_texts_have_counts_as_wrong():
    dataset = read_dataset(decode())
    labels = {str(number): label for number, label in enumerate(Y)} | {str(row): "C" for row in dataset.test[:3]}
    accuracy: Any = run(decode(y_dict=labels)).reply["accuracy (test)"]
    assert accuracy <= 9 / 12


@pytest.mark.parametrize("model", NAMES)
def test_a_search_that_is_cancelled_gives_up_the_folds_that_are_left(model: str, monkeypatch):
    many = {str(number): f"{X[number % 60]} own{number} of{number % 97}" for number in range(1200)}
    labels = {str(number): Y[number % 60] for number in range(1200)}
    folds: list[str] = []
    cancelled = threading.Event()

    def fold_matrices(*rows: Any) -> Any:
        folds.append(threading.current_thread().name)
        if len(folds) == 2:
            cancelled.set()
        return tfidf.fold_matrices(*rows)

    monkeypatch.setattr(search_module, "fold_matrices", fold_matrices)
    with threads_that_end(), pytest.raises(Cancelled):
        run_here(decode(model=model, x_dict=many, y_dict=labels, folds=20, repeats=100), cancelled.is_set)
    assert 2 <= len(folds) < 20 * 100 / 2


def test_a_search_that_is_cancelled_tells_the_models_in_the_middle_of_a_fit(monkeypatch):
    folds: list[str] = []
    fitting = threading.Event()
    cancelled = threading.Event()

    def predict_all(*_: object, cancelled: Callable[[], bool], **__: object) -> NoReturn:
        folds.append(threading.current_thread().name)
        fitting.set()
        while not cancelled():  # a fit that would never end
            time.sleep(0.001)
        raise Cancelled

    monkeypatch.setattr(search_module, "cores", lambda: 2)
    endless = replace(MODELS["mnb"], load_fit=lambda: predict_all)
    monkeypatch.setattr(function_module, "MODELS", {"mnb": endless})
    with threads_that_end(), ThreadPoolExecutor(1) as pool:
        search = pool.submit(run, decode(folds=20, repeats=100), cancelled.is_set)
        assert fitting.wait(DEADLINE_S)
        cancelled.set()
        with pytest.raises(Cancelled):
            search.result(DEADLINE_S)
    assert 1 <= len(folds) <= 2


@contextmanager
def threads_that_end() -> Iterator[None]:
    """At its end wait for the threads that were begun within."""
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        thread.join(DEADLINE_S)
        assert not thread.is_alive(), thread.name


@given(st.lists(st.sampled_from([0.1, 0.5, 0.9, float("nan")]), min_size=1))
def test_the_first_of_the_best_means_is_taken_and_a_point_that_failed_never(means: list[float]):
    fitted = [mean for mean in means if mean == mean]  # noqa: PLR0124 - NaN differs from itself
    if not fitted:
        with pytest.raises(InputError):
            first_best(np.array(means))
        return
    assert first_best(np.array(means)) == means.index(max(fitted))


def test_the_perceptrons_shape_follows_the_number_of_texts():
    assert hidden_sizes(252, 2) == [(3, 3), (2, 2)]
    assert hidden_sizes(2520, 2) == [(13, 13), (8, 8)]
    assert hidden_sizes(10, 2) == [(3, 3), (2, 2)]


@pytest.mark.parametrize("model", NAMES)
def test_the_peers_grid_is_one_that_a_request_may_name(model: str):
    grid = MODELS[model].peer_grid(252, 2)
    assert set(grid) <= set(MODELS[model].parameters)
    assert np.prod([len(values) for values in grid.values()]) <= MAX_POINTS
    request = decode(model=model, repeats=1, grid=grid)
    assert run(request).reply == run(decode(model=model, repeats=1)).reply or model == "mlpc"


def test_warming_up_leaves_nothing_to_compile_for_the_first_request(root: Path):
    """In a process of its own: what other tests compiled would not be missed here."""
    code = (
        "import app_kernels, json; from app.function import warm_up; warm_up(); warm = app_kernels.versions();"
        "app_kernels.request_each_model(); print(json.dumps([warm, app_kernels.versions()]))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(root), str(Path(__file__).parent)))}
    ended = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    warm, requested = json.loads(ended.stdout)
    assert any(warm.values())
    assert requested == warm
