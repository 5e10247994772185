"""``rf``: the random forest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.models.declaration import Model
from app.models.parameters import DEPTH, IMPURITY, Number

if TYPE_CHECKING:
    from app.models.declaration import PredictAll


def _estimator(seed: int) -> Any:
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(random_state=seed)


def _fit() -> PredictAll:
    from app.models.fits.trees import predict_all_forests

    return predict_all_forests


MODEL = Model(
    name="rf",
    parameters={"n_estimators": Number(1, 1000, whole=True), "max_depth": DEPTH, "criterion": IMPURITY},
    peer_grid=lambda *_: {
        "n_estimators": [50, 100, 200],
        "max_depth": [None, 5, 10],
        "criterion": ["gini", "entropy"],
    },
    estimator=_estimator,
    load_fit=_fit,
)
