"""What the base station asks before a run is begun: ``check`` refuses what the function would refuse."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import corpora
import msgspec
import pytest

from app.errors import InputError
from app.function import Request, run
from app.models import MODELS, NAMES, check
from app.models.options import Options

if TYPE_CHECKING:
    from pathlib import Path

X, Y = corpora.generated(texts=40, labels=2, seed=9)
TEXTS = {"x_dict": {str(row): text for row, text in enumerate(X)}, "y_dict": {str(row): y for row, y in enumerate(Y)}}

REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("gpt", {}, "unknown model 'gpt': expected one of pac, log"),
    ("mnb", {"fold": 2}, "unknown option 'fold' of the model mnb: expected one of folds, repeats"),
    ("mnb", {"x_dict": {"0": "text"}}, "unknown option 'x_dict'"),
    ("mnb", {"folds": 1}, "folds: expected `int` >= 2"),
    ("mnb", {"folds": 2.5}, "folds: expected `int`, got `float`"),
    ("mnb", {"repeats": 0}, "repeats: expected `int` >= 1"),
    ("mnb", {"repeats": True}, "repeats: expected `int`, got `bool`"),
    ("mnb", {"test_size": 1.0}, "test_size: expected `float` < 1.0"),
    ("mnb", {"seed": -1}, "seed: expected `int` >= 0"),
    ("mnb", {"seed": 2**32}, "seed: expected `int` <= 4294967295"),
    ("mnb", {"engine": "quick"}, "engine: invalid enum value 'quick', expected one of fast, plain"),
    ("mnb", {"grid": {}}, "grid: expected `object` of length >= 1"),
    ("mnb", {"grid": {"alpha": []}}, "expected `array` of length >= 1"),
    ("mnb", {"grid": {"alpha": 1}}, "expected `array`, got `int`"),
    ("mnb", {"grid": {"C": [1]}}, "names 'C', which is not a parameter of mnb: expected one of alpha, fit_prior"),
    ("mnb", {"grid": {"alpha": [-1]}}, "alpha of mnb must be a number"),
    ("mlpc", {"grid": {"hidden_layer_sizes": [[10**9]]}}, "hidden_layer_sizes of mlpc must be a list"),
    ("mnb", {"grid": {"alpha": [0.1] * 100, "fit_prior": [True] * 100}}, "10000 points"),
]


@pytest.mark.parametrize(("model", "options", "words"), REFUSED)
def test_what_the_function_would_refuse_is_refused_in_one_sentence(model: str, options: dict[str, object], words: str):
    with pytest.raises(InputError) as refused:
        check(model, options)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("model", "options"), [(model, options) for model, options, _ in REFUSED if "x_dict" not in options]
)
def test_the_function_refuses_it_too(model: str, options: dict[str, object]):
    with pytest.raises((msgspec.ValidationError, InputError)):
        run(msgspec.convert({**TEXTS, "model": model, **options}, Request))


@pytest.mark.parametrize("model", NAMES)
def test_what_the_function_takes_is_taken(model: str):
    check(model, {})
    grid = MODELS[model].peer_grid(252, 2)
    named = {name: [list(value) if isinstance(value, tuple) else value for value in grid[name]] for name in grid}
    check(model, {"folds": 5, "repeats": 1, "test_size": 0.5, "seed": None, "engine": "plain", "grid": named})


def test_a_request_is_its_texts_and_the_options_that_are_checked():
    assert set(Request.__struct_fields__) - set(Options.__struct_fields__) == {"x_dict", "y_dict"}


def test_checking_needs_neither_scikit_learn_nor_numba(root: Path):
    code = (
        "import sys; from app.models import NAMES, check; [check(name, {'folds': 3}) for name in NAMES]; "
        "print(sorted({'sklearn', 'numba', 'scipy', 'numpy'} & set(sys.modules)))"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert ended.stdout == "[]\n"
