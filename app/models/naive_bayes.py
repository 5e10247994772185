"""``mnb``: multinomial naive Bayes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.models.declaration import Model
from app.models.parameters import BOTH, POSITIVE, STRENGTHS

if TYPE_CHECKING:
    from app.models.declaration import PredictAll


def _estimator(_: int) -> Any:
    from sklearn.naive_bayes import MultinomialNB

    return MultinomialNB()


def _fit() -> PredictAll:
    from app.models.fits.naive_bayes import predict_all

    return predict_all


MODEL = Model(
    name="mnb",
    parameters={"alpha": POSITIVE, "fit_prior": BOTH},
    peer_grid=lambda *_: {"fit_prior": [True, False], "alpha": list(STRENGTHS)},
    estimator=_estimator,
    load_fit=_fit,
)
