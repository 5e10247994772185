"""``mlpc``: the multi-layer perceptron, whose shape follows the number of training texts."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from app.models.declaration import Model
from app.models.parameters import POSITIVE, Choice, Layers

if TYPE_CHECKING:
    from app.models.declaration import PredictAll
    from app.models.parameters import Grid


def hidden_sizes(texts: int, classes: int) -> list[object]:
    """The study's two shapes of hidden layers for so many training texts.

    The first has n neurons in both layers, n the larger root of n^2 + (3 + classes) n + 4 - texts / 10 = 0 and at
    least 3: about ten texts a weight. The second has two thirds of that.
    """
    b = 3 + classes
    root = math.sqrt(max(b * b - 4 * (4 - texts / 10), 0.0))
    size = max(3, int((root - b) / 2))
    return [(size, size), (int(2 * size / 3), int(2 * size / 3))]


def _peer_grid(texts: int, classes: int) -> Grid:
    return {
        "hidden_layer_sizes": hidden_sizes(texts, classes),
        "activation": ["tanh", "relu"],
        "learning_rate_init": [0.001, 0.01, 1],
    }


def _estimator(seed: int) -> Any:
    from sklearn.neural_network import MLPClassifier

    return MLPClassifier(random_state=seed)


def _fit() -> PredictAll:
    from app.models.fits.perceptron import predict_all

    return predict_all


MODEL = Model(
    name="mlpc",
    parameters={
        "hidden_layer_sizes": Layers(),
        "activation": Choice(("identity", "logistic", "tanh", "relu")),
        "learning_rate_init": POSITIVE,
    },
    peer_grid=_peer_grid,
    estimator=_estimator,
    load_fit=_fit,
    compiled=True,
)
