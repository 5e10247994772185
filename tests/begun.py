"""A run that was begun, as its folder on the controller has it before anything was measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trial_nodes import inventory, only

from collect import folder
from collect.folder import write_json
from experiments import plan, resume
from experiments.data import dataset
from experiments.placement import place

if TYPE_CHECKING:
    from pathlib import Path

    from collect.folder import RunFolder


def begun_run(results: Path) -> RunFolder:
    """A run of scenario edge with four repetitions that was begun with seed 7."""
    experiment = only("edge", 4, warmups=1)
    made = folder.create(results, "edge", resume.as_yaml(experiment))
    data = dataset.load("synthetic", texts=dataset.TEXTS, seed=7)
    drawn = plan.draw(
        experiment, place(experiment, inventory()), run=made.id, texts=len(data.texts), dataset=data.sha256, seed=7
    )
    made.update_manifest(
        inventory="local",
        seed=7,
        dataset={"name": "synthetic", "sha256": data.sha256},
        plan={"hash": drawn.hash, "repetitions": 4, "contents": [drawn.content]},
    )
    dataset.write(data, made.dataset)
    write_json(made.plan, plan.as_json(drawn))
    return made
