"""Going on with a run: what it was begun with stays as it is, and only more repetitions may be asked for."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from collect.folder import read_json, write, write_json
from experiments import plan, proofs, spec
from experiments.data import dataset
from experiments.errors import RunError
from experiments.spec.fields import MOST_REPETITIONS

if TYPE_CHECKING:
    from collect.folder import RunFolder
    from experiments.placement import Placement
    from experiments.spec import Experiment


@dataclass(frozen=True, slots=True)
class Asked:
    """What the user asks a run to go on with; ``None`` where nothing is asked for."""

    scenario: str | None
    dataset: str | None
    seed: int | None
    inventory: str | None
    repetitions: int | None


@dataclass(frozen=True, slots=True)
class Begun:
    """What a run was begun with."""

    experiment: Experiment
    inventory: str
    seed: int
    dataset: dict[str, Any]


def begun(run: RunFolder, asked: Asked, inventory: str) -> Begun:
    """Return what a run was begun with, by default on this inventory.

    Raises:
        RunError: something else is asked for, it has records but no plan, or its plan or data set was altered.
        FolderError: the manifest cannot be read, or names an inventory that is not taken from it.
        SpecError: the scenario cannot be read.
    """
    if not proofs.planned(run) and run.raw.exists():
        raise RunError(f"{run.path} has records but no plan.json, so it cannot be resumed; begin a new run")
    manifest = read_json(run.manifest)
    manifest = manifest if isinstance(manifest, dict) else {}
    if proofs.planned(run) and (asked.repetitions is not None or not proofs.measured(run)):
        plan.check_unaltered(run, manifest.get("plan"))
    experiment = spec.resolved(run.scenario)
    seed, data = manifest.get("seed"), manifest.get("dataset")
    if proofs.planned(run) and not (type(seed) is int and seed >= 0 and isinstance(data, dict)):
        raise RunError(f"{run.manifest} names neither seed nor dataset, so the run cannot be resumed; begin a new run")
    known_seed = seed if type(seed) is int and seed >= 0 else 1
    proofs.steps(run)
    was_on = manifest.get("inventory")
    for name, value, before in (("INVENTORY", asked.inventory, was_on), ("SEED", asked.seed, seed)):
        if None not in (value, before) and value != before:
            raise _other(run, name, str(value), str(before)[:200])
    if asked.scenario is not None and not _is_same(spec.load(asked.scenario), experiment):
        raise _other(run, "SCENARIO", asked.scenario, experiment.name)
    if asked.dataset is not None and isinstance(data, dict):
        again = dataset.load(asked.dataset, texts=dataset.TEXTS, seed=known_seed, deduplicate=experiment.deduplicate)
        if again.sha256 != data.get("sha256"):
            raise _other(run, "DATASET", asked.dataset, str(data.get("name"))[:200])
    return Begun(
        experiment, run.inventory(asked.inventory) or inventory, known_seed, data if isinstance(data, dict) else {}
    )


def extend(run: RunFolder, begun: Begun, placed: Placement, repetitions: int | None) -> Experiment:
    """Return the experiment with so many repetitions, and plan those that are not planned yet.

    Raises:
        RunError: fewer are asked for than are planned, or the nodes are others now.
    """
    experiment = begun.experiment
    if repetitions is None or repetitions == experiment.repetitions:
        return experiment
    if repetitions > MOST_REPETITIONS:
        raise RunError(f"{repetitions} repetitions are too many: a run has {MOST_REPETITIONS} at most")
    if repetitions < experiment.repetitions:
        raise _other(run, "REPETITIONS", str(repetitions), str(experiment.repetitions))
    longer = experiment.model_copy(update={"repetitions": repetitions})
    before = plan.check(run.plan)
    texts = len(before.splits[0])
    drawn = plan.draw(longer, placed, run=run.id, texts=texts, dataset=before.dataset, seed=before.seed)
    if drawn.hash != before.hash or drawn.splits[: len(before.splits)] != before.splits:
        raise RunError(
            f"run {run.id} was planned for other nodes or by another version, so its plan cannot be extended; finish "
            "it without REPETITIONS, or begin a new run"
        )
    after = plan.extended(before, drawn)
    recorded = {"hash": drawn.hash, "repetitions": experiment.repetitions, "contents": [before.content, after.content]}
    run.update_manifest(plan=recorded)  # whichever of the two is there if this process is killed
    write_json(run.plan, plan.as_json(after))
    write(run.scenario, as_yaml(longer))
    run.update_manifest(plan={**recorded, "repetitions": repetitions})
    return longer


def as_yaml(experiment: Experiment) -> str:
    """Return the experiment as a run's folder keeps it, for `experiments.spec.resolved`."""
    return yaml.safe_dump(experiment.model_dump(mode="json"), sort_keys=False)


def command(run: RunFolder, results: str, inventory: str) -> str:
    """Return the command that resumes a run, as it can be typed: what is not the default is named."""
    on = f" INVENTORY={shlex.quote(inventory)}" if "/" in inventory else ""
    return f"make experiment RUN={run.id}{where(results)}{on}"


def where(results: str) -> str:
    """Return make's variable for the folder of the runs, unless it is the default one below the working directory."""
    is_default = Path(results).resolve() == Path("results").resolve()
    return "" if is_default else f" RESULTS={shlex.quote(results)}"


def _is_same(asked: Experiment, begun: Experiment) -> bool:
    return asked.model_copy(update={"repetitions": begun.repetitions}) == begun


def _other(run: RunFolder, name: str, value: str, before: str) -> RunError:
    return RunError(
        f"run {run.id} was begun with another {name} ({before}) than {value}: leave {name} out, or begin a new run"
    )
