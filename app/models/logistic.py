"""``log``: logistic regression, by the SAGA solver.

scikit-learn's ``penalty`` leaves with 1.10, and l1_ratio stays. The study's elasticnet names no l1_ratio, so it has
the default 0 and is the same fit as l2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.models.declaration import Model
from app.models.parameters import POSITIVE, STRENGTHS, Choice

if TYPE_CHECKING:
    from app.models.declaration import PredictAll

PENALTIES = ("l1", "l2", "elasticnet")


def _estimator(seed: int) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(solver="saga", max_iter=1_000_000, random_state=seed)


def _fit() -> PredictAll:
    from app.models.fits.logistic import predict_all

    return predict_all


MODEL = Model(
    name="log",
    parameters={"C": POSITIVE, "penalty": Choice(PENALTIES)},
    peer_grid=lambda *_: {"penalty": list(PENALTIES), "C": list(STRENGTHS)},
    estimator=_estimator,
    load_fit=_fit,
    compiled=True,
    renamed={"penalty": ("l1_ratio", {"l1": 1.0, "l2": 0.0, "elasticnet": 0.0})},
)
