"""``svc``: the support vector machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.models.declaration import Model
from app.models.parameters import POSITIVE, Choice, Number

if TYPE_CHECKING:
    from app.models.declaration import PredictAll


def _estimator(seed: int) -> Any:
    from sklearn.svm import SVC

    return SVC(random_state=seed)


def _fit() -> PredictAll:
    from app.models.fits.support_vectors import predict_all

    return predict_all


MODEL = Model(
    name="svc",
    parameters={
        "kernel": Choice(("linear", "poly", "rbf", "sigmoid")),
        "gamma": Number(1e-10, 1e10, words=("scale", "auto")),
        "C": POSITIVE,
    },
    peer_grid=lambda *_: {"kernel": ["poly", "rbf"], "gamma": ["scale", "auto"], "C": [0.1, 1]},
    estimator=_estimator,
    load_fit=_fit,
    compiled=True,
    endless=True,  # libsvm has no limit of iterations, as in the study's function, and C may be 1e10
)
