"""The plain engine in a process of its own."""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import corpora
import httpx
import pytest
from replica import Replica, eventually

from app.errors import Cancelled, InputError
from app.function import run

pytestmark = pytest.mark.once

X, Y = corpora.generated(texts=40, labels=2, seed=10)


def processes() -> dict[int, tuple[int, int]]:
    """Parent and process group of every process that runs."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent, number = entry.read_text().rpartition(")")[2].split()[:3]
        except OSError:  # it ended meanwhile
            continue
        if state != "Z":
            found[int(entry.parent.name)] = int(parent), int(number)
    return found


def group(leader: int) -> set[int]:
    """The living processes of a process group."""
    return {pid for pid, (_, number) in processes().items() if number == leader}


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


def test_a_plain_search_ends_with_a_replica_that_was_killed():
    texts = dict(enumerate(X))
    request = {
        "x_dict": {str(key): text for key, text in texts.items()},
        "y_dict": {str(key): label for key, label in enumerate(Y)},
        "model": "rf", "repeats": 100, "engine": "plain",
    }  # fmt: skip
    with Replica("app.function") as replica, ThreadPoolExecutor(1) as pool:
        replica.warm()
        answered = pool.submit(replica.client.post, "/", json=request)
        eventually(lambda: len(searching(replica.process.pid)) > 2, "the search and its workers")
        searches = searching(replica.process.pid)
        replica.process.kill()
        eventually(lambda: not searches & processes().keys(), "the end of the search and its workers")
        assert isinstance(answered.exception(), httpx.HTTPError)


def searching(replica: int) -> set[int]:
    """The processes of the groups that a replica's children lead."""
    leaders = [pid for pid, (parent, _) in processes().items() if parent == replica]
    return {pid for leader in leaders for pid in group(leader)}


def test_what_scikit_learn_refuses_is_refused_in_one_sentence():
    request = corpora.request(["the and of"] * 40, Y, model="mnb", repeats=1, engine="plain")
    with pytest.raises(InputError) as refused:
        run(request)
    assert "\n" not in str(refused.value)


def test_a_grid_of_which_no_point_can_be_fitted_is_refused():
    request = corpora.request(X, Y, model="kn", repeats=1, grid={"n_neighbors": [50]}, engine="plain")
    with pytest.raises(InputError, match="no point of the grid can be fitted"):
        run(request)
