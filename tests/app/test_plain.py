"""The plain engine in a process of its own."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import corpora
import pytest

from app.errors import Cancelled, InputError
from app.function import run

X, Y = corpora.generated(texts=40, labels=2, seed=10)


def processes_of(marker: str) -> list[str]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:  # it ended meanwhile
            continue
        if marker in command:
            found.append(command)
    return found


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


def test_a_plain_search_that_is_cancelled_ends_with_its_workers_within_a_second():
    before = set(processes_of("app.search.plain"))
    cancelled = threading.Event()
    at = []

    def cancel() -> None:
        at.append(time.perf_counter())
        cancelled.set()

    threading.Timer(2.0, cancel).start()
    with pytest.raises(Cancelled):
        run(corpora.request(X, Y, model="rf", repeats=20, engine="plain"), cancelled.is_set)
    assert time.perf_counter() - at[0] < 1.0
    assert set(processes_of("app.search.plain")) <= before


def test_what_scikit_learn_refuses_is_refused_in_one_sentence():
    request = corpora.request(["the and of"] * 40, Y, model="mnb", repeats=1, engine="plain")
    with pytest.raises(InputError) as refused:
        run(request)
    assert "\n" not in str(refused.value)


def test_a_grid_of_which_no_point_can_be_fitted_is_refused():
    request = corpora.request(X, Y, model="kn", repeats=1, grid={"n_neighbors": [50]}, engine="plain")
    with pytest.raises(InputError, match="no point of the grid can be fitted"):
        run(request)
