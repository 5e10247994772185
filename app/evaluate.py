"""``python -m app.evaluate --dataset FILE``: train with given parameters on given rows, order by order.

The base station's own training in an experiment. The file, ``{"x": [text, ...], "y": [label, ...]}``, is read and
tokenised once; then the worker says ``{"ready": true}`` and answers one JSON line with one:
``{"train": [row, ...], "test": [row, ...], "model": "pac", "parameters": {...}, "seed": 1}`` with
``{"accuracy (test)": 0.93, "fit_ms": 12.3}``, or with ``{"error": sentence}``. It ends with its input.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np

from app.errors import InputError
from app.models import MODELS
from app.models.options import MODEL_SEED, Seed
from app.models.registry import Name
from app.text.corpus import Corpus, read_corpus
from app.text.tfidf import fold_matrices

Row = Annotated[int, msgspec.Meta(ge=0)]
Rows = Annotated[list[Row], msgspec.Meta(min_length=1)]


class Texts(msgspec.Struct, frozen=True):
    """The data set's file: texts and their labels, side by side."""

    x: list[str]
    y: list[str]


class Order(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One training: which rows train, which test, and with what."""

    train: Rows
    test: Rows
    model: Name
    parameters: dict[str, Any]
    seed: Seed = MODEL_SEED


class Evaluator:
    """Texts read once, ready to train on any of their rows."""

    def __init__(self, texts: Texts) -> None:
        if len(texts.x) != len(texts.y):
            raise InputError(f"x has {len(texts.x)} texts but y has {len(texts.y)} labels; each text needs one label.")
        if not texts.x:
            raise InputError("x holds no texts; send some.")
        self._corpus: Corpus = read_corpus(texts.x)
        self._labels = texts.y

    def answer(self, order: Order) -> dict[str, float]:
        """Train and score: accuracy on the test rows, and the milliseconds from the order to that number.

        Raises:
            InputError: rows that are not there, one label only, or parameters the model does not have.
        """
        started = time.perf_counter()
        highest = max(*order.train, *order.test)
        if highest >= len(self._labels):
            raise InputError(f"The order names row {highest}, but the data set ends with row {len(self._labels) - 1}.")
        classes = sorted({self._labels[row] for row in order.train})
        if len(classes) < 2:  # noqa: PLR2004 - a classifier needs two
            raise InputError(
                f"All training rows have the label {classes[0]!r:.60}; training needs at least two labels."
            )
        place = {label: number for number, label in enumerate(classes)}
        model = MODELS[order.model]
        point = model.read_point(order.parameters)
        train, test = fold_matrices(self._corpus, np.array(order.train), np.array(order.test))
        target = np.array([place[self._labels[row]] for row in order.train])
        predicted = model.predict_all(
            [point], train, target, test,
            classes=len(classes), seed=order.seed, cancelled=lambda: False,
        )[0]  # fmt: skip
        truth = np.array([place.get(self._labels[row], -1) for row in order.test])
        accuracy = float(np.mean(predicted == truth))
        return {"accuracy (test)": accuracy, "fit_ms": (time.perf_counter() - started) * 1e3}


def main(arguments: list[str] | None = None) -> int:
    """Serve orders from standard input; returns 2 where the data set cannot be read."""
    parser = argparse.ArgumentParser(prog="python -m app.evaluate", description="Train with given parameters.")
    parser.add_argument("--dataset", type=Path, required=True, help='JSON: {"x": [text, ...], "y": [label, ...]}')
    path: Path = parser.parse_args(arguments).dataset
    try:
        evaluator = Evaluator(msgspec.json.decode(path.read_bytes(), type=Texts))
    except (OSError, msgspec.DecodeError, InputError, UnicodeDecodeError) as error:
        print(f"python -m app.evaluate: the data set {path} cannot be read: {error}", file=sys.stderr)
        return 2
    _say({"ready": True})
    decoder = msgspec.json.Decoder(Order)
    for line in sys.stdin.buffer:
        try:
            answer: dict[str, Any] = evaluator.answer(decoder.decode(line))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            answer = {"error": f"The order cannot be read: {error}."}
        except InputError as error:
            answer = {"error": str(error)}
        _say(answer)
    return 0


def _say(answer: dict[str, Any]) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    sys.exit(main())
