"""The fast engine gives what plain scikit-learn gives: each test runs both."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import corpora
import joblib
import pytest

from app.function import run
from app.models import MODELS, NAMES
from app.search import plain
from app.text.dataset import read_dataset

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from app.request import Request

pytestmark = pytest.mark.once

CLOSE = 1e-12
# Each model is held to scikit-learn on generated texts each time (the two slowest in two labels), on real texts and under
# another seed only the paper's.
PAPERS_AND_THE_OTHERS = [pytest.param(name, marks=() if name == "pac" else pytest.mark.long) for name in NAMES]


@pytest.fixture(autouse=True)
def _in_this_process() -> Iterator[None]:
    """The plain search as it is, but without the seconds that worker processes take to start."""
    with joblib.parallel_config(backend="sequential"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def plainly(request: Request) -> dict[str, Any]:
    """The doubly fitted ``GridSearchCV`` over ``Pipeline(TfidfVectorizer, model)`` with the request's seeds."""
    dataset = read_dataset(request)
    grid: Any = request.grid or MODELS[request.model].peer_grid(len(dataset.train), len(dataset.classes))
    return plain.search(
        plain.PlainSearch(
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
    )


def assert_equal(request: Request) -> None:
    ours, theirs = run(request).reply, plainly(request)
    assert ours["best parameters"] == theirs["parameters"]
    assert ours["accuracy (validation)"] == pytest.approx(theirs["validation"], rel=0, abs=CLOSE)
    assert ours["accuracy (test)"] == pytest.approx(theirs["test"], rel=0, abs=CLOSE)


@pytest.mark.parametrize("model", PAPERS_AND_THE_OTHERS)
def test_the_peers_policy_on_real_news_equals_plain_scikit_learn(model: str, news: Path):
    repeats = 1 if model in ("mlpc", "rf") else 3
    assert_equal(corpora.request(*corpora.news(news, texts=70, characters=900), model=model, repeats=repeats))


@pytest.mark.long
@pytest.mark.parametrize("model", NAMES)
def test_the_peers_example_as_it_is_equals_plain_scikit_learn(model: str, news: Path):
    assert_equal(corpora.request(*corpora.news(news, texts=315, characters=1_000_000), model=model))


@pytest.mark.parametrize("model", PAPERS_AND_THE_OTHERS)
def test_two_labels_in_three_folds_under_another_seed_equal_plain_scikit_learn(model: str):
    x, y = corpora.generated(texts=80, labels=2, seed=1)
    grid = {"n_estimators": [20, 50], "max_depth": [5, None]} if model == "rf" else None
    assert_equal(corpora.request(x, y, model=model, grid=grid, folds=3, repeats=1, seed=7, test_size=0.3))


@pytest.mark.parametrize(
    "model", [pytest.param(name, marks=pytest.mark.long if name in ("mlpc", "rf") else ()) for name in NAMES]
)
def test_three_labels_equal_plain_scikit_learn(model: str):
    x, y = corpora.generated(texts=90, labels=3, seed=2)
    assert_equal(corpora.request(x, y, model=model, repeats=1))


OTHER_GRIDS: list[tuple[str, dict[str, list[object]]]] = [
    ("pac", {"C": [1e-9, 0.03, 7, 1e9], "loss": ["squared_hinge"]}),
    ("log", {"C": [2, 0.5], "penalty": ["l1"]}),
    ("mnb", {"alpha": [1e-10, 3]}),
    ("mlpc", {"hidden_layer_sizes": [(4,), (3, 2, 2)], "activation": ["logistic", "identity"]}),
    ("svc", {"kernel": ["linear", "sigmoid", "poly", "rbf"], "gamma": [0.5, "scale"], "C": [0.5, 5]}),
    ("dt", {"max_depth": [2, 3, None], "criterion": ["log_loss", "gini"]}),
    ("kn", {"n_neighbors": [1, 3, 1000], "weights": ["distance"], "algorithm": ["brute", "auto"]}),
    ("rf", {"n_estimators": [13, 2], "max_depth": [3, None]}),
]


@pytest.mark.parametrize(("model", "grid"), OTHER_GRIDS)
@pytest.mark.parametrize("labels", [2, pytest.param(3, marks=pytest.mark.long)])
def test_a_grid_of_the_requests_own_equals_plain_scikit_learn(model: str, grid: dict[str, list[object]], labels: int):
    x, y = corpora.generated(texts=70, labels=labels, seed=3)
    assert_equal(corpora.request(x, y, model=model, repeats=2, grid=grid))


def test_of_points_that_tie_the_first_in_parameter_grids_order_is_best():
    x, y = corpora.generated(texts=60, labels=2, seed=4)
    x = [f"{text} sure{label}" for text, label in zip(x, y, strict=True)] * 2
    request = corpora.request(x, y * 2, model="kn", grid={"algorithm": ["kd_tree", "auto"], "n_neighbors": [5]})
    assert run(request).reply["best parameters"] == {"algorithm": "kd_tree", "n_neighbors": 5}
    assert plainly(request)["parameters"] == {"algorithm": "kd_tree", "n_neighbors": 5}


def test_a_text_without_a_term_of_the_training_texts_is_classed_as_scikit_learn_classes_it():
    x, y = corpora.generated(texts=60, labels=2, seed=5)
    x[::7] = ["", "the and of", "unheard zz" + "q" * 30, "!", "日", "I a", " \n", "x", "of"]
    for model in ("pac", "mnb", "kn", "svc"):
        assert_equal(corpora.request(x, y, model=model, repeats=1))
