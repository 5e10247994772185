"""Classifies images of handwritten digits: labelled images in, a classifier's best parameters and its accuracy out.

A second function for the same server, see docs/your-own-function.md: it trains a support-vector classifier on the
images of a request, chooses its parameters by cross-validation, and scores the images that the request holds for the
test. Pure: no web, no files.
"""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import numpy as np

from app.errors import Cancelled, InputError

if TYPE_CHECKING:
    from collections.abc import Callable

# An image is 8 x 8 pixels from 0 (white) to 16 (black), row by row, as scikit-learn's own digits.
PIXELS, BLACK = 64, 16
FOLDS = 3
GRID = {"C": [0.1, 1.0, 10.0, 100.0], "gamma": [0.001, 0.01, 0.1, 1.0]}

Pixel = Annotated[int, msgspec.Meta(ge=0, le=BLACK)]
Image = Annotated[list[Pixel], msgspec.Meta(min_length=PIXELS, max_length=PIXELS)]
Digit = Annotated[int, msgspec.Meta(ge=0, le=9)]


class Labelled(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Images, and the digit that each of them shows."""

    images: Annotated[list[Image], msgspec.Meta(min_length=1)]
    labels: list[Digit]


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Images to train with, and others to test with."""

    train: Labelled
    test: Labelled


@dataclass(frozen=True, slots=True)
class Outcome:
    """The reply, and the time each phase took, in milliseconds."""

    reply: dict[str, object]
    phases_ms: dict[str, float]


def run(request: Request, cancelled: Callable[[], bool] = lambda: False) -> Outcome:
    """Choose the parameters on the training images, train with them, and score the test images.

    Raises:
        InputError: the images cannot be learned from; the message is for the client.
        Cancelled: ``cancelled`` returned True; it is asked before each fit.
    """
    from sklearn.model_selection import ParameterGrid, StratifiedKFold  # noqa: PLC0415 - seconds, see warm_up
    from sklearn.svm import SVC  # noqa: PLC0415

    started = time.perf_counter()
    pixels, labels = _arrays("train", request.train)
    test_pixels, test_labels = _arrays("test", request.test)
    if np.unique(labels, return_counts=True)[1].min() < FOLDS or len(np.unique(labels)) == 1:
        raise InputError(f"Each digit needs {FOLDS} images to train with, and there have to be two digits or more.")
    prepared = time.perf_counter()
    folds = list(StratifiedKFold(FOLDS, shuffle=True, random_state=1).split(pixels, labels))

    def validated(parameters: dict[str, Any]) -> float:
        scores = []
        for train, held_out in folds:
            if cancelled():
                raise Cancelled
            scores.append(SVC(**parameters).fit(pixels[train], labels[train]).score(pixels[held_out], labels[held_out]))
        return float(np.mean(scores))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        best = max(ParameterGrid(GRID), key=validated)
        searched = time.perf_counter()
        classifier = SVC(**best).fit(pixels, labels)
        fitted = time.perf_counter()
        accuracy = float(classifier.score(test_pixels, test_labels))
    ended = time.perf_counter()
    return Outcome(
        {"parameters": best, "accuracy": accuracy, "images": len(labels)},
        {
            "prepare": (prepared - started) * 1e3,
            "search": (searched - prepared) * 1e3,
            "fit": (fitted - searched) * 1e3,
            "score": (ended - fitted) * 1e3,
        },
    )


def warm_up() -> None:
    """Load what the first request would otherwise wait for."""
    images = [[BLACK * ((row + digit) % 2) for row in range(PIXELS)] for digit in range(2) for _ in range(FOLDS)]
    labelled = Labelled(images, [digit for digit in range(2) for _ in range(FOLDS)])
    run(Request(labelled, labelled))


def _arrays(part: str, labelled: Labelled) -> tuple[Any, Any]:
    if len(labelled.images) != len(labelled.labels):
        raise InputError(
            f"{part} has {len(labelled.images)} images and {len(labelled.labels)} labels; send a label for each image."
        )
    return np.asarray(labelled.images, float) / BLACK, np.asarray(labelled.labels)
