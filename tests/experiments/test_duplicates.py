"""Duplicates: how many there are, how many train and test at once, and what is left without them."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any

import pytest
from msgspec import structs
from trial_nodes import inventory, only, paper

from app.request import Request
from app.text.dataset import read_dataset
from experiments import manifest, workloads
from experiments.data.dataset import Dataset, DatasetError, load
from experiments.data.duplicates import Duplicates, count
from experiments.leakage import Leakage, leakage
from experiments.placement import place
from experiments.plan import draw
from experiments.workloads.data import Dataset as Rows
from experiments.workloads.data import cut

if TYPE_CHECKING:
    from pathlib import Path

    from experiments.base_station.plan import Plan
    from experiments.spec import Experiment


def dataset(path: Path, texts: list[str], *, deduplicate: bool = False, most: int = 3150) -> Dataset:
    """Read texts from a file, with FAKE and REAL in turn."""
    with path.open("w", newline="", encoding="utf-8") as file:
        labels = ("FAKE" if number % 2 else "REAL" for number in range(len(texts)))
        csv.writer(file).writerows([("text", "label"), *zip(texts, labels, strict=True)])
    return load(str(path), texts=most, seed=1, deduplicate=deduplicate)


def plan_of(experiment: Experiment, texts: int, seed: int = 1) -> Plan:
    return draw(experiment, place(experiment, inventory()), run="trial", texts=texts, dataset="d", seed=seed)


def different(number: int) -> list[str]:
    return [f"report about river number{index}" for index in range(number)]


def test_texts_repeat_an_earlier_one_whatever_their_case_and_blanks() -> None:
    texts = ["Green  river", "green river", " GREEN RIVER\n", "green rivers", "", "", " "]
    assert count(texts, ["A", "A", "B", "B", "A", "B", "A"]) == Duplicates(texts=2, under_other_labels=3)
    assert count(different(30), ["A"] * 30) == Duplicates(0, 0)


def test_without_duplicates_each_text_stands_once_with_its_first_label(tmp_path: Path) -> None:
    texts = [text for text in different(30) for _ in range(3)]
    read = dataset(tmp_path / "news.csv", texts, deduplicate=True)
    assert read.texts == tuple(different(30))
    assert read.labels == tuple("FAKE" if number % 2 else "REAL" for number in range(0, 90, 3))
    assert read.removed == 60
    sample = dataset(tmp_path / "news.csv", texts, deduplicate=True, most=25)
    assert len(set(sample.texts)) == 25, "duplicates are left out first, then the rest is sampled"
    assert len(dataset(tmp_path / "news.csv", texts).texts) == 90


def test_too_few_texts_without_duplicates_are_refused_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"holds 10 texts \(50 duplicates removed\), too few to train with"):
        dataset(tmp_path / "news.csv", different(10) * 6, deduplicate=True)


def test_the_share_of_test_texts_that_are_trained_on_is_that_of_the_plans_own_splits(tmp_path: Path) -> None:
    """A known answer: with each text twice, a test text is known where its twin is among the training texts."""
    data = dataset(tmp_path / "news.csv", different(30) * 2)
    experiment = only("cloud", 5)
    plan = plan_of(experiment, 60)
    known = [
        row
        for split in plan.splits
        for row in split[:12]  # test_share: 0.2
        if (row + 30) % 60 in split[12:]
    ]
    leaked = leakage(plan, data)
    assert leaked is not None
    assert leaked.base_station_percent == pytest.approx(100 * len(known) / (12 * 5))
    assert 60 < leaked.function_percent < 95
    assert leakage(plan_of(experiment, 30), dataset(tmp_path / "one.csv", different(30))) == Leakage(0, 0)


def test_the_functions_own_split_is_the_one_that_it_makes(tmp_path: Path) -> None:
    data = dataset(tmp_path / "news.csv", different(60))
    rows = Rows(list(data.texts), list(data.labels))
    each: tuple[dict[str, Any], ...] = ({}, {"seed": 4, "test_size": 0.3})
    for options in each:
        workload = workloads.make("training", {"options": options}, rows)
        parts = cut(plan_of(paper(), 60).splits[0], 0.2, (0.4, 0.4))
        splits = workload.splits(parts)
        assert splits is not None
        assert splits.base_station.test == parts.test
        assert set(splits.base_station.training) == {row for part in parts.training for row in part}
        for part, split in zip(parts.training, splits.function, strict=True):
            texts = {str(place): data.texts[row] for place, row in enumerate(part)}
            labels = {str(place): data.labels[row] for place, row in enumerate(part)}
            made = read_dataset(Request(x_dict=texts, y_dict=labels, **options))
            assert [data.texts[row] for row in split.test] == [made.texts[row] for row in made.test]
            assert [data.texts[row] for row in split.training] == [made.texts[row] for row in made.train]


def test_of_a_function_that_does_not_train_there_is_no_leakage(tmp_path: Path) -> None:
    data = dataset(tmp_path / "news.csv", ["the of and"] * 40)
    plan = plan_of(paper(2), 40)
    http = {name: structs.replace(one, workload="http", settings={}) for name, one in plan.scenarios.items()}
    assert leakage(structs.replace(plan, scenarios=http), data) is None
    assert "training_texts_in_test_percent" not in manifest.dataset(data, None)


@pytest.mark.parametrize(
    ("texts", "reason"),
    [
        (
            ["the and of to a"] * 50 + [""] * 10,
            "no text has a word to learn from: 10 are empty, 50 have stop words and",
        ),
        (["the and of to a"] * 58 + ["green river"] * 2, "no training text has a word to learn from, only stop words"),
    ],
)
def test_texts_that_the_function_would_refuse_are_refused_before_a_run(
    tmp_path: Path, texts: list[str], reason: str
) -> None:
    data = dataset(tmp_path / "news.csv", texts)
    with pytest.raises(DatasetError, match=rf"^dataset news: scenario edge, repetition \d+: .*{reason}"):
        leakage(plan_of(paper(), len(texts)), data)


def test_a_label_that_is_too_rare_for_the_folds_is_refused_before_a_run(tmp_path: Path) -> None:
    data = dataset(tmp_path / "news.csv", different(60))
    plan = plan_of(paper(), 60)
    many = {name: structs.replace(one, settings={"options": {"folds": 12}}) for name, one in plan.scenarios.items()}
    with pytest.raises(DatasetError, match=r"request 1 of 2: Label '....' has \d+ training text\(s\) but there are 12"):
        leakage(structs.replace(plan, scenarios=many), data)


def test_all_texts_empty_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="all 40 texts are empty; give texts with words"):
        dataset(tmp_path / "news.csv", [""] * 40)


def test_the_manifest_keeps_the_shares_and_says_them_in_sentences(tmp_path: Path) -> None:
    data = dataset(tmp_path / "news.csv", [*different(10) * 4, *[""] * 20])
    described = manifest.dataset(data, leakage(plan_of(paper(3), 60), data))
    assert described["empty_texts"] == 20
    assert described["duplicates"] == {"texts": 30, "under_other_labels": 0, "removed": 0}
    assert described["training_texts_in_test_percent"]["base_station"] > 30
    empty, repeated, leaked = described["notes"]
    assert empty == "Empty texts: 20 of 60 (33.3 %)."
    assert repeated == "Texts that repeat an earlier one: 30 of 60 (50.0 %)."
    assert "% of the test texts are among the training texts, too" in leaked
    assert manifest.labels(described) == "60 texts, FAKE 30, REAL 30"


def test_of_clean_texts_there_is_nothing_to_say(tmp_path: Path) -> None:
    data = dataset(tmp_path / "news.csv", different(60))
    assert manifest.dataset(data, Leakage(0, 0))["notes"] == []


def test_that_duplicates_were_left_out_is_told(tmp_path: Path) -> None:
    data = dataset(tmp_path / "news.csv", different(30) * 2, deduplicate=True)
    assert manifest.dataset(data, Leakage(0, 0))["notes"] == [
        "Texts that repeated an earlier one and were left out (deduplicate: true): 30."
    ]


def test_a_data_set_of_many_labels_is_listed_in_part() -> None:
    described = {"texts": 80, "labels": {f"class {index}": 10 for index in range(8)}}
    assert manifest.labels(described).endswith("class 5 10 and 2 labels more")
