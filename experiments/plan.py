"""What is measured, in which order, with which texts: drawn from a seed, pure, written before the first request."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from experiments.base_station.errors import DriverError
from experiments.base_station.plan import VERSION, Entry, Plan, ScenarioPlan, Site, check_dataset, read
from experiments.errors import RunError
from experiments.workloads.data import Division

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from collect.folder import RunFolder
    from experiments.placement import Placement
    from experiments.spec import Experiment, Scenario


def draw(experiment: Experiment, placement: Placement, *, run: str, texts: int, dataset: str, seed: int) -> Plan:
    """Return the plan that the driver reads.

    The splits are the same for every scenario, so repetitions pair up; a scenario's shares cut them. The order is: the
    warm-ups of each scenario first, then rounds, in each of which every scenario has one block, in drawn order. A block
    is one repetition unless the experiment sets more.

    Args:
        experiment: the scenarios and their repetitions.
        placement: where they stand.
        run: the run's id.
        texts: size of the data set.
        dataset: its SHA-256.
        seed: everything that is drawn comes from it.
    """
    splits_rng, order_rng = (np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(2))
    count = max(experiment.repetitions, experiment.warmups)
    return Plan(
        version=VERSION,
        run=run,
        seed=seed,
        dataset=dataset,
        base_stations=placement.base_stations,
        scenarios={scenario.name: _scenario(scenario, placement) for scenario in experiment.scenarios},
        splits=tuple(tuple(splits_rng.permutation(texts).tolist()) for _ in range(count)),
        order=_order(experiment, order_rng),
        changing=placement.changing,
    )


def as_json(plan: Plan) -> Any:
    """Return the plan as JSON has it, for `experiments.base_station.plan.read`."""
    return msgspec.to_builtins(plan)


def extended(before: Plan, drawn: Plan) -> Plan:
    """Return a plan with what a longer one of the same experiment has more, after what was planned before."""
    planned = {entry.key for entry in before.order}
    return msgspec.structs.replace(
        drawn, order=before.order + tuple(entry for entry in drawn.order if entry.key not in planned)
    )


def check(path: Path) -> Plan:
    """Return the plan of a run, or refuse one that this version cannot go on with.

    Raises:
        RunError: it is of another version, or damaged.
    """
    with _known_errors():
        return read(path)


def check_unaltered(run: RunFolder, recorded: Any) -> None:
    """Refuse a run whose plan or data set is another one than when it began.

    Args:
        run: its folder.
        recorded: what its manifest has under ``plan``; runs of earlier versions have no ``contents`` in it.

    Raises:
        RunError: a file was altered, or cannot be read.
    """
    recorded = recorded if isinstance(recorded, dict) else {}
    with _known_errors():
        plan = read(run.plan)
        check_dataset(plan, run.dataset)
    contents = recorded.get("contents", [plan.content])
    if plan.content not in contents or plan.hash != recorded.get("hash", plan.hash):
        raise RunError(
            f"{run.plan} is not the plan that manifest.json names: it was altered since the run began; restore it, or "
            "begin a new run"
        )


@contextmanager
def _known_errors() -> Iterator[None]:
    try:
        yield
    except DriverError as error:
        raise RunError(str(error)) from error
    except OSError as error:
        raise RunError(f"{error.filename} cannot be read: {error.strerror}; begin a new run") from error


def _scenario(scenario: Scenario, placement: Placement) -> ScenarioPlan:
    own = scenario.base_stations
    return ScenarioPlan(
        sites={
            service.site: Site(url=service.url, host=service.host, nodes=service.nodes)
            for service in placement.services[scenario.name]
        },
        routes=placement.routes[scenario.name],
        division=Division(own.weights or (1.0,) * len(placement.base_stations), own.alpha),
        workload=scenario.workload.name,
        settings=scenario.settings,
        test_share=scenario.data.test_share,
        training_shares=scenario.data.training_shares,
        traffic=scenario.arrivals,
        max_late_ms=scenario.traffic.max_late_ms,
        congestion_control=scenario.transport.congestion_control,
        connections=scenario.transport.connections,
        protocol=scenario.transport.protocol,
        encoding=scenario.transport.encoding,
        timeout_s=scenario.requests.timeout_s,
        idle_s=scenario.requests.idle_s,
        events=placement.events[scenario.name],
    )


def _order(experiment: Experiment, rng: np.random.Generator) -> tuple[Entry, ...]:
    names = [scenario.name for scenario in experiment.scenarios]
    order = [
        Entry(scenario=name, block=0, repetition=repetition, warmup=True)
        for name in names
        for repetition in range(experiment.warmups)
    ]
    size = experiment.block_repetitions
    for round_index, start in enumerate(range(0, experiment.repetitions, size)):
        for position, chosen in enumerate(rng.permutation(len(names)).tolist()):
            block = 1 + round_index * len(names) + position
            order += [
                Entry(scenario=names[chosen], block=block, repetition=repetition, warmup=False)
                for repetition in range(start, min(start + size, experiment.repetitions))
            ]
    return tuple(order)
