"""Going on with a run: nothing that it was begun with changes, more repetitions are planned, nothing is deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from begun import begun_run
from trial_nodes import inventory, only

from collect import folder
from collect.folder import FolderError, RunFolder
from experiments import plan, proofs, resume
from experiments.data import dataset
from experiments.errors import RunError
from experiments.placement import place

if TYPE_CHECKING:
    from pathlib import Path

NOTHING = resume.Asked(None, None, None, None, None)


def asked(**changes: str | int) -> resume.Asked:
    values = {"scenario": None, "dataset": None, "seed": None, "inventory": None, "repetitions": None}
    return resume.Asked(**{**values, **changes})  # type: ignore[arg-type]


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return begun_run(tmp_path / "results")


def test_a_run_is_resumed_with_what_it_was_begun_with(run: RunFolder) -> None:
    begun = resume.begun(run, NOTHING, "edge")
    assert (begun.inventory, begun.seed, begun.experiment.repetitions) == ("local", 7, 4)
    same = asked(scenario="edge", dataset="synthetic", seed=7, inventory="local")
    assert resume.begun(run, same, "edge") == begun


@pytest.mark.parametrize(
    ("name", "value"), [("scenario", "cloud"), ("dataset", "bbc"), ("seed", 8), ("inventory", "edge")]
)
def test_another_data_set_seed_scenario_or_inventory_is_refused_by_name(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch, name: str, value: str | int
) -> None:
    if name == "dataset":  # without a download
        other = dataset.load("synthetic", texts=dataset.TEXTS, seed=8)
        monkeypatch.setattr(dataset, "load", lambda *_, **__: other)
    with pytest.raises(RunError, match=rf"was begun with another {name.upper()} \(.*\) than {value}: leave"):
        resume.begun(run, asked(**{name: value}), "local")


def test_a_data_set_whose_duplicates_are_left_out_is_still_the_same_one(tmp_path: Path) -> None:
    texts = tmp_path / "news.csv"
    rows = [f"report about river number{index // 2},{'FAKE' if index // 2 % 2 else 'REAL'}\n" for index in range(60)]
    texts.write_text("".join(["text,label\n", *rows]))
    experiment = only("edge", 4).model_copy(update={"deduplicate": True})
    made = folder.create(tmp_path / "results", "edge", resume.as_yaml(experiment))
    data = dataset.load(str(texts), texts=dataset.TEXTS, seed=7, deduplicate=True)
    made.update_manifest(inventory="local", seed=7, dataset={"name": "news", "sha256": data.sha256})
    assert resume.begun(made, asked(dataset=str(texts)), "local").experiment.deduplicate


def test_more_repetitions_extend_the_plan_and_leave_what_was_planned(run: RunFolder) -> None:
    before = plan.check(run.plan)
    begun = resume.begun(run, NOTHING, "local")
    placed = place(begun.experiment, inventory())
    longer = resume.extend(run, begun, placed, 6)
    after = plan.check(run.plan)
    assert after.order[: len(before.order)] == before.order
    assert [entry.repetition for entry in after.order[len(before.order) :]] == [4, 5]
    assert after.splits[: len(before.splits)] == before.splits
    assert after.hash == before.hash
    assert longer.repetitions == resume.begun(run, NOTHING, "local").experiment.repetitions == 6
    with pytest.raises(RunError, match="another REPETITIONS"):
        resume.extend(run, resume.begun(run, NOTHING, "local"), placed, 5)


def test_an_inventory_of_a_run_folder_is_not_executed(run: RunFolder) -> None:
    script = run.path / "inv.sh"
    script.write_text(f"#!/bin/sh\ntouch {run.path}/RAN\n")
    script.chmod(0o755)
    run.update_manifest(inventory=str(script))
    with pytest.raises(FolderError, match="a path is not taken from a run's folder"):
        resume.begun(run, NOTHING, "local")
    with pytest.raises(FolderError, match="is in the run's own folder"):
        resume.begun(run, asked(inventory=str(script)), "local")
    assert not (run.path / "RAN").exists()


@pytest.mark.parametrize(
    ("results", "on", "command"),
    [
        ("results", "local", "make experiment RUN={id}"),
        ("/tmp/my results", "local", "make experiment RUN={id} RESULTS='/tmp/my results'"),
        ("results", "/my/inventory", "make experiment RUN={id} INVENTORY=/my/inventory"),
    ],
)
def test_the_command_that_is_printed_names_what_is_not_the_default(
    run: RunFolder, results: str, on: str, command: str
) -> None:
    assert resume.command(run, results, on) == command.format(id=run.id)


def test_a_run_without_a_plan_has_begun_nothing_and_is_kept(run: RunFolder) -> None:
    run.plan.unlink()
    assert not proofs.planned(run)
    assert resume.begun(run, NOTHING, "local").experiment.repetitions == 4
