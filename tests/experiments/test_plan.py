"""The plan: complete, fair between scenarios, and nothing but its seed."""

from __future__ import annotations

import json
from collections import Counter
from itertools import groupby
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from trial_nodes import inventory, only, paper

from experiments.base_station import plan as base_station_plan
from experiments.placement import place
from experiments.plan import as_json, draw
from experiments.spec import Experiment
from experiments.workloads.data import cut

if TYPE_CHECKING:
    from pathlib import Path

    from experiments.base_station.plan import Plan

seeds = st.integers(0, 2**63)
experiments = st.builds(
    paper, repetitions=st.integers(1, 23), warmups=st.integers(0, 3), block_repetitions=st.integers(1, 7)
)


def plan(experiment: Experiment, seed: int, texts: int = 40) -> Plan:
    return draw(experiment, place(experiment, inventory()), run="trial", texts=texts, dataset="d" * 64, seed=seed)


@given(experiments, seeds)
def test_every_repetition_of_every_scenario_is_planned_once_and_warm_ups_come_first(
    experiment: Experiment, seed: int
) -> None:
    order = plan(experiment, seed).order
    planned = Counter((entry.scenario, entry.repetition, entry.warmup) for entry in order)
    expected = {(name, index, True) for name in ("edge", "cloud") for index in range(experiment.warmups)}
    expected |= {(name, index, False) for name in ("edge", "cloud") for index in range(experiment.repetitions)}
    assert planned == Counter(expected)
    assert [entry.warmup for entry in order] == sorted((entry.warmup for entry in order), reverse=True)


@given(experiments, seeds)
def test_each_round_has_one_block_of_each_scenario(experiment: Experiment, seed: int) -> None:
    measured = [entry for entry in plan(experiment, seed).order if not entry.warmup]
    blocks = [
        (number, {entry.scenario for entry in entries}, [entry.repetition for entry in entries])
        for number, group in groupby(measured, key=lambda entry: entry.block)
        for entries in [list(group)]
    ]
    assert [number for number, _, _ in blocks] == list(range(1, len(blocks) + 1))
    for first, second in zip(blocks[::2], blocks[1::2], strict=True):
        assert len(first[1]) == len(second[1]) == 1
        assert first[1] | second[1] == {"edge", "cloud"}
        assert first[2] == second[2]
        assert len(first[2]) <= experiment.block_repetitions


@given(st.integers(1, 23), seeds)
def test_scenarios_alternate_in_pairs_unless_the_experiment_sets_longer_blocks(repetitions: int, seed: int) -> None:
    experiment = Experiment.model_validate(
        {"name": "trial", "repetitions": repetitions, "scenarios": paper().scenarios}
    )
    measured = [entry for entry in plan(experiment, seed).order if not entry.warmup]
    pairs = list(zip(measured[::2], measured[1::2], strict=True))
    assert [{first.scenario, second.scenario} for first, second in pairs] == [{"edge", "cloud"}] * repetitions
    assert [(first.repetition, second.repetition) for first, second in pairs] == [(n, n) for n in range(repetitions)]
    assert [entry.block for entry in measured] == list(range(1, len(measured) + 1))


@given(st.integers(1, 10), st.integers(1, 10), seeds)
def test_more_repetitions_continue_the_order_of_the_first_ones(repetitions: int, more: int, seed: int) -> None:
    fewer = [entry for entry in plan(paper(repetitions), seed).order if not entry.warmup]
    assert [entry for entry in plan(paper(repetitions + more), seed).order if not entry.warmup][: len(fewer)] == fewer


@pytest.mark.parametrize("timeout_s", [600, 600.0, 0.5])
def test_a_plan_has_the_hash_of_its_file(tmp_path: Path, timeout_s: float) -> None:
    drawn = plan(paper(3), seed=1)
    scenarios = {name: replace(scenario, timeout_s=timeout_s) for name, scenario in drawn.scenarios.items()}
    drawn = replace(drawn, scenarios=scenarios)
    (tmp_path / "plan.json").write_text(json.dumps(as_json(drawn)), encoding="utf-8")
    assert base_station_plan.read(tmp_path / "plan.json").hash == drawn.hash


def test_the_order_within_a_round_is_drawn() -> None:
    first = {next(entry.scenario for entry in plan(paper(), seed).order if not entry.warmup) for seed in range(20)}
    assert first == {"edge", "cloud"}


@given(experiments, seeds, st.integers(20, 60))
def test_splits_are_permutations_of_the_data_set_one_a_repetition(
    experiment: Experiment, seed: int, texts: int
) -> None:
    splits = plan(experiment, seed, texts).splits
    assert len(splits) == max(experiment.repetitions, experiment.warmups)
    assert all(sorted(split) == list(range(texts)) for split in splits)
    assert len({tuple(split) for split in splits}) == len(splits)


@given(seeds)
def test_scenarios_share_their_splits_whichever_are_measured_together(seed: int) -> None:
    together = plan(paper(4), seed)
    assert plan(only("edge", 4), seed).splits == together.splits
    assert plan(only("cloud", 4), seed).splits == together.splits


@given(seeds, seeds)
def test_a_plan_is_its_seed(seed: int, other: int) -> None:
    assert plan(paper(), seed) == plan(paper(), seed)
    if seed != other:
        assert plan(paper(), seed).splits != plan(paper(), other).splits


def test_more_repetitions_keep_the_splits_of_the_first_ones() -> None:
    assert plan(paper(20), 7).splits[:3] == plan(paper(3), 7).splits


@given(
    st.permutations(range(50)),
    st.floats(0.05, 0.5),
    st.lists(st.floats(0.05, 1), min_size=1, max_size=5),
    st.floats(0.2, 1),
)
def test_a_cut_gives_each_text_to_one_part_at_most_and_each_part_its_share(
    split: list[int], test_share: float, weights: list[float], used: float
) -> None:
    shares = [weight / sum(weights) * used * (1 - test_share) for weight in weights]
    pieces = cut(split, test_share, shares)
    parts = [pieces.test, *pieces.training]
    given_away = [row for part in parts for row in part]
    assert given_away == split[: len(given_away)]
    assert all(
        abs(len(part) - 50 * share) <= 1 + 1e-9 for part, share in zip(parts, [test_share, *shares], strict=True)
    )


def test_the_papers_shares_use_every_text() -> None:
    split = list(range(3150))
    edge, cloud = cut(split, 0.2, [0.4, 0.4]), cut(split, 0.2, [0.8])
    assert [len(edge.test), *map(len, edge.training)] == [630, 1260, 1260]
    assert edge.test == cloud.test
    assert edge.training[0] + edge.training[1] == cloud.training[0]
