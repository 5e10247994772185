"""What is measured, in which order, with which texts: drawn from a seed, pure, written before the first request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from experiments.placement import Placement
    from experiments.spec import Experiment, Scenario

PLAN_VERSION = 1


def draw(experiment: Experiment, placement: Placement, *, run: str, texts: int, seed: int) -> dict[str, Any]:
    """Return the plan as the JSON object that the driver reads.

    ``splits[r]`` is the permutation of the data set for repetition ``r``, the same for every scenario, so repetitions
    pair up; a scenario's shares cut it (see ``cut`` in the driver). ``order`` lists the repetitions as they are
    measured: one warm-up a scenario first, then blocks, shuffled so that within each round every scenario comes once.

    Args:
        experiment: the scenarios and their repetitions.
        placement: where they stand.
        run: the run's id.
        texts: size of the data set.
        seed: everything that is drawn comes from it.
    """
    splits_rng, order_rng = (np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(2))
    count = max(experiment.repetitions, experiment.warmups)
    return {
        "version": PLAN_VERSION,
        "run": run,
        "seed": seed,
        "base_stations": list(placement.base_stations),
        "scenarios": {scenario.name: _scenario(scenario, placement) for scenario in experiment.scenarios},
        "splits": [splits_rng.permutation(texts).tolist() for _ in range(count)],
        "order": _order(experiment, order_rng),
    }


def _scenario(scenario: Scenario, placement: Placement) -> dict[str, Any]:
    service = placement.services[scenario.name]
    return {
        "url": service.url,
        "host": f"{scenario.name}.faasbed.local",
        "nodes": list(service.nodes),
        "model": scenario.function.model,
        "options": scenario.function.options,
        "test_share": scenario.data.test_share,
        "training_shares": list(scenario.data.training_shares),
        "congestion_control": scenario.transport.congestion_control,
        "timeout_s": scenario.requests.timeout_s,
        "idle_s": scenario.requests.idle_s,
    }


def _order(experiment: Experiment, rng: np.random.Generator) -> list[dict[str, Any]]:
    names = [scenario.name for scenario in experiment.scenarios]
    order = [
        {"scenario": name, "block": 0, "repetition": repetition, "warmup": True}
        for name in names
        for repetition in range(experiment.warmups)
    ]
    size = experiment.block_repetitions
    for round_index, start in enumerate(range(0, experiment.repetitions, size)):
        for position, chosen in enumerate(rng.permutation(len(names)).tolist()):
            block = 1 + round_index * len(names) + position
            order += [
                {"scenario": names[chosen], "block": block, "repetition": repetition, "warmup": False}
                for repetition in range(start, min(start + size, experiment.repetitions))
            ]
    return order
