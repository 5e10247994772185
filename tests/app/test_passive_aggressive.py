"""A whole grid of passive-aggressive classifiers in one pass is, bit for bit, each of them fitted by scikit-learn."""

from __future__ import annotations

import warnings

import corpora
import numpy as np
import pytest
from sklearn.linear_model import PassiveAggressiveClassifier
from sklearn.model_selection import ParameterGrid

from app.errors import Cancelled
from app.models import MODELS
from app.models.fits import passive_aggressive
from app.text.corpus import read_corpus
from app.text.tfidf import fold_matrices


def fold(labels: int, texts: int = 120):
    x, y = corpora.generated(texts=texts, labels=labels, seed=labels)
    target = np.array(["ABC".index(label) for label in y])
    cut = texts * 2 // 3
    train, other = fold_matrices(read_corpus(x), np.arange(cut), np.arange(cut, texts))
    return train, target[:cut], other


POINTS = list(ParameterGrid(MODELS["pac"].peer_grid(120, 2)))


@pytest.mark.parametrize("seed", [0, 1, 2**32 - 1])
def test_two_labels_have_scikit_learns_decisions_to_the_last_bit(seed):
    train, target, other = fold(labels=2)
    ((positive, shuffle_seed),) = passive_aggressive._binary_problems(2, seed)
    decided = passive_aggressive._decide_all(
        POINTS, train, np.where(target == positive, 1.0, -1.0), other, shuffle_seed, lambda: False
    )
    for point, ours in zip(POINTS, decided, strict=True):
        classifier = corpora.plain_estimator("pac", seed, point)
        theirs = classifier.fit(train.scipy(), target).decision_function(other.scipy())
        np.testing.assert_array_equal(ours, theirs, err_msg=str(point))


@pytest.mark.parametrize("points", [POINTS, POINTS[:1], POINTS[:2], POINTS[:4], POINTS[:7], POINTS[:9]])
def test_three_labels_one_against_all_have_scikit_learns_classes(points):
    train, target, other = fold(labels=3)
    predicted = passive_aggressive.predict_all(points, train, target, other, classes=3, seed=5, cancelled=lambda: False)
    for point, ours in zip(points, predicted, strict=True):
        classifier = corpora.plain_estimator("pac", 5, point).fit(train.scipy(), target)
        np.testing.assert_array_equal(ours, classifier.predict(other.scipy()), err_msg=str(point))


@pytest.mark.parametrize("labels", [2, 3])
def test_what_replaces_the_deprecated_classifier_has_its_mathematics(labels):
    train, target, _ = fold(labels=labels)
    for point in POINTS:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            old = PassiveAggressiveClassifier(max_iter=100_000, random_state=1, **point).fit(train.scipy(), target)
        new = corpora.plain_estimator("pac", 1, point).fit(train.scipy(), target)
        np.testing.assert_array_equal(new.coef_, old.coef_, err_msg=str(point))
        np.testing.assert_array_equal(new.intercept_, old.intercept_, err_msg=str(point))


def test_a_client_that_leaves_ends_the_passes():
    train, target, other = fold(labels=2)
    with pytest.raises(Cancelled):
        passive_aggressive.predict_all(POINTS, train, target, other, classes=2, seed=1, cancelled=lambda: True)
