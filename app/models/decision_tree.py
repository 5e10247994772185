"""``dt``: the decision tree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.models.declaration import Model
from app.models.parameters import DEPTH, IMPURITY, Choice

if TYPE_CHECKING:
    from app.models.declaration import PredictAll

FEATURES = ("sqrt", "log2", None)


def _estimator(seed: int) -> Any:
    from sklearn.tree import DecisionTreeClassifier

    return DecisionTreeClassifier(random_state=seed)


def _fit() -> PredictAll:
    from app.models.fits.trees import predict_all_trees

    return predict_all_trees


MODEL = Model(
    name="dt",
    parameters={"max_features": Choice(FEATURES), "max_depth": DEPTH, "criterion": IMPURITY},
    peer_grid=lambda *_: {
        "max_features": list(FEATURES),
        "max_depth": [None, 5, 10],
        "criterion": ["gini", "entropy"],
    },
    estimator=_estimator,
    load_fit=_fit,
)
