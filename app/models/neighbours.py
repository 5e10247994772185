"""``kn``: the nearest neighbours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.models.declaration import Model
from app.models.parameters import Choice, Number

if TYPE_CHECKING:
    from app.models.declaration import PredictAll


def _estimator(_: int) -> Any:
    from sklearn.neighbors import KNeighborsClassifier

    return KNeighborsClassifier()


def _fit() -> PredictAll:
    from app.models.fits.neighbours import predict_all

    return predict_all


MODEL = Model(
    name="kn",
    parameters={
        "weights": Choice(("uniform", "distance")),
        "n_neighbors": Number(1, 100_000, whole=True),
        "algorithm": Choice(("auto", "ball_tree", "kd_tree", "brute")),
    },
    peer_grid=lambda *_: {
        "weights": ["uniform", "distance"],
        "n_neighbors": [5, 10, 20],
        "algorithm": ["auto", "ball_tree", "kd_tree"],
    },
    estimator=_estimator,
    load_fit=_fit,
)
