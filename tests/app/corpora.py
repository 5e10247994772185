"""What the function is tested with: real and generated texts, and the plain estimators it has to equal."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

from app.models import MODELS
from app.request import Request

if TYPE_CHECKING:
    from pathlib import Path

FILLERS = ("the", "and", "of", "a", "I", "was", "über", "naïve", "x2", "snake_case", "Don't", "42", "…", "日本語")


def generated(texts: int, labels: int, seed: int) -> tuple[list[str], list[str]]:
    """Texts over a vocabulary with a long tail; a label shifts which words are frequent, and some labels are wrong."""
    draw = random.Random(seed)
    words = [f"word{number}" for number in range(400)]
    x, y = [], []
    for number in range(texts):
        label = number % labels
        frequencies = [1.0 / (1 + (rank + 25 * label) % len(words)) for rank in range(len(words))]
        chosen = draw.choices(words, frequencies, k=draw.randint(8, 60)) + draw.choices(FILLERS, k=10)
        draw.shuffle(chosen)
        x.append(" ".join(chosen))
        y.append("ABC"[label if draw.random() < 0.85 else draw.randrange(labels)])
    return x, y


def news(path: Path, texts: int, characters: int) -> tuple[list[str], list[str]]:
    """The beginnings of the first so many of the peer's real news texts."""
    example = json.loads(path.read_text(encoding="utf-8"))
    keys = list(example["x_dict"])[:texts]
    return [example["x_dict"][key][:characters] for key in keys], [example["y_dict"][key] for key in keys]


def request(x: list[str], y: list[str], **options: object) -> Request:
    """A request as the base station makes it: keys are the texts' places."""
    keys = list(map(str, range(len(x))))
    return Request(x_dict=dict(zip(keys, x, strict=True)), y_dict=dict(zip(keys, y, strict=True)), **options)  # type: ignore[arg-type]


def plain_estimator(model: str, seed: int, point: dict[str, object]) -> Any:
    """scikit-learn's unfitted estimator at one point of a model's grid."""
    return MODELS[model].estimator(seed).set_params(**MODELS[model].sklearn_point(point))
