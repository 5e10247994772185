"""Every point of every grid on one fold against scikit-learn's estimator, and the logistic weights bit for bit."""

from __future__ import annotations

import warnings

import corpora
import numpy as np
import pytest
from sklearn.model_selection import ParameterGrid

from app.models.classifier import UNFITTED, predict_all
from app.models.estimators import estimator, sklearn_grid, sklearn_parameters
from app.models.fits import logistic
from app.models.grids import peer_grid
from app.text.corpus import read_corpus
from app.text.dataset import read_dataset
from app.text.tfidf import fold_matrices

MODELS = ("pac", "log", "mnb", "mlpc", "svc", "dt", "kn", "rf")


def never() -> bool:
    return False


def fold(labels: int):
    x, y = corpora.generated(texts=90, labels=labels, seed=6)
    dataset = read_dataset(corpora.request(x, y))
    fit, score = dataset.folds[0]
    train, other = fold_matrices(read_corpus(dataset.texts), fit, score)
    return train, dataset.target[fit], other


@pytest.mark.parametrize("labels", [2, 3])
@pytest.mark.parametrize("model", MODELS)
def test_every_point_of_a_grid_predicts_what_its_own_estimator_predicts(model, labels):
    train, target, other = fold(labels)
    points = list(ParameterGrid(peer_grid(model, len(target), labels)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ours = predict_all(model, points, train, target, other, classes=labels, seed=5, cancelled=never)
        assert (ours != UNFITTED).all()
        for point, predicted in zip(points, ours, strict=True):
            theirs = estimator(model, 5).set_params(**sklearn_parameters(model, point))
            assert np.array_equal(predicted, theirs.fit(train.scipy().copy(), target).predict(other.scipy())), point


def test_a_grid_leaves_the_matrices_of_the_fold_as_they_are():
    train, target, other = fold(2)
    before = [array.copy() for matrix in (train, other) for array in (matrix.starts, matrix.columns, matrix.values)]
    for model in MODELS:
        points = list(ParameterGrid(peer_grid(model, len(target), 2)))[:1]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            predict_all(model, points, train, target, other, classes=2, seed=5, cancelled=never)
        after = [array for matrix in (train, other) for array in (matrix.starts, matrix.columns, matrix.values)]
        assert all(np.array_equal(old, new) for old, new in zip(before, after, strict=True)), model


@pytest.mark.parametrize("l1_share", [0.0, 1.0])
@pytest.mark.parametrize("strength", [1e-7, 1e-3, 1.0, 30.0])
def test_logistic_weights_are_scikit_learns_bit_for_bit(strength, l1_share):
    """The smallest strength makes the weights' common scale so small that it is reset within an epoch."""
    train, target, _ = fold(2)
    theirs = estimator("log", 3).set_params(C=strength, l1_ratio=l1_share).fit(train.scipy(), target)
    ours = logistic._fit(train, target, strength, l1_share, 3, never)
    assert ours is not None
    assert np.array_equal(ours, np.append(theirs.coef_[0], theirs.intercept_))


@pytest.mark.parametrize("model", MODELS)
def test_both_engines_try_the_points_in_the_same_order(model):
    grid = peer_grid(model, 300, 2)
    translated = [sklearn_parameters(model, point) for point in ParameterGrid(grid)]
    assert translated == list(ParameterGrid(sklearn_grid(model, grid)))
