"""The base station's worker: one line in, one line out."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import corpora
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline

from app import evaluate

TRAIN, TEST = list(range(0, 60, 2)), list(range(1, 60, 2))


class Worker:
    def __init__(self, dataset, root):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "app.evaluate", "--dataset", str(dataset)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root,
        )  # fmt: skip
        self.first = self.hear()

    def hear(self) -> Any:
        assert self.process.stdout
        return json.loads(self.process.stdout.readline())

    def ask(self, order: object) -> Any:
        assert self.process.stdin
        self.process.stdin.write((order if isinstance(order, str) else json.dumps(order)) + "\n")
        self.process.stdin.flush()
        return self.hear()


@pytest.fixture(scope="module")
def texts():
    return corpora.generated(texts=60, labels=2, seed=8)


@pytest.fixture(scope="module")
def worker(texts, tmp_path_factory, root):
    dataset = tmp_path_factory.mktemp("data") / "dataset.json"
    dataset.write_text(json.dumps({"x": texts[0], "y": texts[1]}), encoding="utf-8")
    worker = Worker(dataset, root)
    yield worker
    worker.process.communicate()
    assert worker.process.returncode == 0


def order(**changes):
    return {"train": TRAIN, "test": TEST, "model": "pac", "parameters": {"C": 0.1}, "seed": 1, **changes}


def test_the_worker_says_first_that_it_is_ready(worker):
    assert worker.first == {"ready": True}


@pytest.mark.parametrize(
    ("model", "parameters"),
    [
        ("pac", {"C": 0.1, "fit_intercept": False, "loss": "squared_hinge"}),
        ("log", {"C": 10, "penalty": "l2"}),
        ("mnb", {"alpha": 0.01}),
        ("mlpc", {"hidden_layer_sizes": [3, 3], "learning_rate_init": 0.01}),
        ("svc", {"kernel": "rbf", "C": 1}),
        ("dt", {"max_depth": 5}),
        ("kn", {"n_neighbors": 5, "weights": "distance"}),
        ("rf", {"n_estimators": 50}),
    ],
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_an_order_is_answered_with_scikit_learns_accuracy(worker, texts, model, parameters):
    x, y = texts
    classifier = corpora.plain_estimator(model, 3, parameters)
    pipeline = make_pipeline(TfidfVectorizer(stop_words="english"), classifier)
    expected = pipeline.fit([x[row] for row in TRAIN], [y[row] for row in TRAIN]).score(
        [x[row] for row in TEST], [y[row] for row in TEST]
    )
    answer = worker.ask(order(model=model, parameters=parameters, seed=3))
    assert answer["accuracy (test)"] == pytest.approx(expected, rel=0, abs=1e-12)
    assert answer["fit_ms"] > 0


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("no json", "cannot be read"),
        ({}, "train"),
        (order(train=[]), "length"),
        (order(test=[60]), "row 60"),
        (order(train=[-1]), ">= 0"),
        (order(model="gpt"), "gpt"),
        (order(parameters={"C": "much"}), "C"),
        (order(parameters={"n_jobs": 9}), "n_jobs"),
    ],
)
def test_a_wrong_order_is_answered_with_a_sentence_and_the_next_one_is_served(worker, wrong, words):
    assert words in worker.ask(wrong)["error"]
    assert "accuracy (test)" in worker.ask(order())


def test_training_rows_of_one_label_are_refused(worker, texts):
    rows = [row for row, label in enumerate(texts[1]) if label == "A"][:10]
    assert "at least two labels" in worker.ask(order(train=rows))["error"]


@pytest.mark.parametrize(
    "content", [None, "[", '{"x": ["a"], "y": []}', '{"x": [], "y": []}', '{"x": [1], "y": ["a"]}']
)
def test_a_data_set_that_is_none_is_refused_in_one_line(tmp_path, capsys, content):
    dataset = tmp_path / "dataset.json"
    if content is not None:
        dataset.write_text(content, encoding="utf-8")
    assert evaluate.main(["--dataset", str(dataset)]) == 2
    refusal = capsys.readouterr().err
    assert refusal.count("\n") == 1
    assert str(dataset) in refusal
