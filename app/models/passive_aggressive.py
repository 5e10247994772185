"""``pac``: the passive-aggressive classifier.

``PassiveAggressiveClassifier`` leaves scikit-learn with 1.10. Its mathematics stays in ``SGDClassifier``: PA-I is the
hinge's update, PA-II the squared hinge's, and the aggressiveness C is eta0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.models.declaration import Model
from app.models.parameters import BOTH, POSITIVE, STRENGTHS, Choice

if TYPE_CHECKING:
    from app.models.declaration import PredictAll


def _estimator(seed: int) -> Any:
    from sklearn.linear_model import SGDClassifier

    return SGDClassifier(loss="hinge", penalty=None, learning_rate="pa1", eta0=1.0, max_iter=100_000, random_state=seed)


def _fit() -> PredictAll:
    from app.models.fits.passive_aggressive import predict_all

    return predict_all


MODEL = Model(
    name="pac",
    parameters={"C": POSITIVE, "fit_intercept": BOTH, "loss": Choice(("hinge", "squared_hinge"))},
    peer_grid=lambda *_: {
        "loss": ["hinge", "squared_hinge"],
        "fit_intercept": [True, False],
        "C": list(STRENGTHS),
    },
    estimator=_estimator,
    load_fit=_fit,
    compiled=True,
    renamed={"C": ("eta0", {}), "loss": ("learning_rate", {"hinge": "pa1", "squared_hinge": "pa2"})},
)
