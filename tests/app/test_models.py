"""Every point of every grid on one fold against scikit-learn's estimator, and the logistic weights bit for bit."""

from __future__ import annotations

import re
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import corpora
import joblib
import numpy as np
import pytest
from sklearn.model_selection import ParameterGrid

from app.errors import Cancelled
from app.models import MODELS, NAMES
from app.models.declaration import UNFITTED
from app.models.fits import logistic
from app.search import plain
from app.search.fast import search
from app.text.corpus import read_corpus
from app.text.dataset import read_dataset
from app.text.tfidf import fold_matrices

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """A fit that ends unconverged is a point of the grid like any other."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def never() -> bool:
    return False


def fold(labels: int):
    x, y = corpora.generated(texts=90, labels=labels, seed=6)
    dataset = read_dataset(corpora.request(x, y))
    fit, score = next(dataset.folds())
    train, other = fold_matrices(read_corpus(dataset.texts), fit, score)
    return train, dataset.target[fit], other


def peer_points(model: str, texts: int, labels: int) -> list[dict[str, Any]]:
    return list(ParameterGrid(MODELS[model].peer_grid(texts, labels)))


@pytest.mark.parametrize(
    ("model", "labels"),
    [(name, 2) for name in NAMES]
    + [pytest.param(name, 3, marks=pytest.mark.long if name in ("mlpc", "rf") else ()) for name in NAMES],
)
def test_every_point_of_a_grid_predicts_what_its_own_estimator_predicts(model, labels):
    train, target, other = fold(labels)
    points = peer_points(model, len(target), labels)
    ours = MODELS[model].predict_all(points, train, target, other, classes=labels, seed=5, cancelled=never)
    assert (ours != UNFITTED).all()
    for point, predicted in zip(points, ours, strict=True):
        theirs = corpora.plain_estimator(model, 5, point)
        assert np.array_equal(predicted, theirs.fit(train.scipy().copy(), target).predict(other.scipy())), point


@pytest.mark.parametrize("model", NAMES)
def test_a_model_without_a_fit_of_its_own_is_fitted_point_by_point(model):
    train, target, other = fold(2)
    points = peer_points(model, len(target), 2)[:2]
    bare = replace(MODELS[model], load_fit=None)
    ours = bare.predict_all(points, train, target, other, classes=2, seed=5, cancelled=never)
    shared = MODELS[model].predict_all(points, train, target, other, classes=2, seed=5, cancelled=never)
    assert np.array_equal(ours, shared)


def test_a_point_that_scikit_learn_refuses_is_unfitted_and_the_others_are_not():
    train, target, other = fold(2)
    bare = replace(MODELS["kn"], load_fit=None)
    points: list[dict[str, Any]] = [{"n_neighbors": 1000}, {"n_neighbors": 3}]
    ours = bare.predict_all(points, train, target, other, classes=2, seed=5, cancelled=never)
    assert (ours[0] == UNFITTED).all()
    assert (ours[1] != UNFITTED).all()


def test_a_grid_leaves_the_matrices_of_the_fold_as_they_are():
    train, target, other = fold(2)
    before = [array.copy() for matrix in (train, other) for array in (matrix.starts, matrix.columns, matrix.values)]
    for model in NAMES:
        points = peer_points(model, len(target), 2)[:1]
        for each in (MODELS[model], replace(MODELS[model], load_fit=None)):
            each.predict_all(points, train, target, other, classes=2, seed=5, cancelled=never)
        after = [array for matrix in (train, other) for array in (matrix.starts, matrix.columns, matrix.values)]
        assert all(np.array_equal(old, new) for old, new in zip(before, after, strict=True)), model


@pytest.mark.parametrize("labels", [2, 3])
@pytest.mark.parametrize("model", NAMES)
def test_a_model_asks_many_times_whether_it_is_cancelled_and_stops_at_the_first_yes(model, labels):
    train, target, other = fold(labels)
    points = peer_points(model, len(target), labels)
    asked = 0
    yes = 0  # which of the questions is the first to be answered so; 0: none

    def cancelled() -> bool:
        nonlocal asked
        asked += 1
        return asked == yes

    def predict() -> None:
        MODELS[model].predict_all(points, train, target, other, classes=labels, seed=5, cancelled=cancelled)

    predict()
    questions = asked
    assert questions >= len(points) // 2
    for yes in (1, questions // 2, questions):
        asked = 0
        with pytest.raises(Cancelled):
            predict()
        assert asked == yes


@pytest.mark.parametrize("l1_share", [0.0, 1.0])
@pytest.mark.parametrize("strength", [1e-7, 1e-3, 1.0, 30.0])
def test_logistic_weights_are_scikit_learns_bit_for_bit(strength, l1_share):
    """The smallest strength makes the weights' common scale so small that it is reset within an epoch."""
    train, target, _ = fold(2)
    theirs = MODELS["log"].estimator(3).set_params(C=strength, l1_ratio=l1_share).fit(train.scipy(), target)
    ours = logistic._fit(train, target, strength, l1_share, 3, never)
    assert ours is not None
    assert np.array_equal(ours, np.append(theirs.coef_[0], theirs.intercept_))


@pytest.mark.parametrize("model", NAMES)
def test_both_engines_try_the_points_in_the_same_order(model):
    grid = MODELS[model].peer_grid(300, 2)
    translated = [MODELS[model].sklearn_point(point) for point in ParameterGrid(grid)]
    assert translated == list(ParameterGrid(MODELS[model].sklearn_grid(grid)))


def test_the_readmes_new_model_is_searched_as_scikit_learn_searches_it(root: Path, monkeypatch: pytest.MonkeyPatch):
    (source,) = re.findall(
        r"## A new model\n.*?```python\n(.*?)```", (root / "app" / "README.md").read_text(), re.DOTALL
    )
    declared: dict[str, Any] = {}
    exec(source, declared)  # noqa: S102 - our own page's
    model = declared["MODEL"]
    x, y = corpora.generated(texts=60, labels=3, seed=9)
    dataset = read_dataset(corpora.request(x, y))
    grid = model.peer_grid(len(dataset.train), 3)
    fast = search(dataset, model, grid, 1, never)
    monkeypatch.setattr(plain, "MODELS", {model.name: model})
    task = plain.PlainSearch(
        [x[row] for row in dataset.train], dataset.target[dataset.train].tolist(),
        [x[row] for row in dataset.test], dataset.target[dataset.test].tolist(),
        model.name, grid, folds=2, repeats=3, folds_seed=1, model_seed=1,
    )  # fmt: skip
    with joblib.parallel_config(backend="sequential"):
        expected = plain.search(task)
    assert fast.parameters == expected["parameters"]
    assert (fast.validation, fast.test) == pytest.approx((expected["validation"], expected["test"]), rel=0, abs=1e-12)
