"""The plain engine in a process of its own."""

from __future__ import annotations

import subprocess
from typing import Any

import corpora
import pytest
from processes import running
from replica import eventually

from app.errors import Cancelled, InputError
from app.function import run

pytestmark = pytest.mark.once

X, Y = corpora.generated(texts=40, labels=2, seed=10)


def group(leader: int) -> set[int]:
    """The living processes of a process group."""
    return {pid for pid, process in running().items() if process.group == leader}


@pytest.mark.parametrize(
    ("model", "grid"), [("mnb", {"alpha": [0.01, 1.0]}), ("mlpc", {"hidden_layer_sizes": [(2, 2)]})]
)
def test_the_plain_engine_answers_as_the_fast_one_does(model: str, grid: dict[str, list[object]]):
    options = {"model": model, "repeats": 1, "grid": grid}
    plain = run(corpora.request(X, Y, engine="plain", **options))
    fast = run(corpora.request(X, Y, **options))
    assert plain.reply["best parameters"] == fast.reply["best parameters"]
    for key in ("accuracy (validation)", "accuracy (test)"):
        assert plain.reply[key] == pytest.approx(fast.reply[key], rel=0, abs=1e-12)
    assert list(plain.phases_ms) == ["vectorise", "search", "fit"]


def test_a_plain_search_that_is_cancelled_ends_with_its_workers(monkeypatch: pytest.MonkeyPatch):
    started: list[int] = []

    class Recorded(subprocess.Popen[str]):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            started.append(self.pid)

    monkeypatch.setattr("app.search.plain.subprocess.Popen", Recorded)
    with pytest.raises(Cancelled):
        run(corpora.request(X, Y, model="rf", repeats=100, engine="plain"), lambda: len(group(started[0])) > 1)
    eventually(lambda: not group(started[0]), "the end of its processes")


def test_what_scikit_learn_refuses_is_refused_in_one_sentence():
    request = corpora.request(["the and of"] * 40, Y, model="mnb", repeats=1, engine="plain")
    with pytest.raises(InputError) as refused:
        run(request)
    assert "\n" not in str(refused.value)


def test_a_grid_of_which_no_point_can_be_fitted_is_refused():
    request = corpora.request(X, Y, model="kn", repeats=1, grid={"n_neighbors": [50]}, engine="plain")
    with pytest.raises(InputError, match="no point of the grid can be fitted"):
        run(request)
