"""Faults of a run's folder on the controller: where it lies, whether it can be written, what was altered in it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
import yaml
from begun import begun_run
from loopback import function
from measured import REPETITIONS, ROOT, check_complete, trained
from trial_nodes import aimed, only

from collect import folder
from collect.folder import write_json
from experiments import plan, resume, steps
from experiments.__main__ import main
from experiments.data import dataset
from experiments.progress import Reporter
from nodes.playbooks import Playbooks, read_inventory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

NEEDS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="a file system that fills up needs root to be mounted")


def begin(results: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Begin a run with a data set that is refused when the run's folder is there and before a node is touched."""
    texts = folder / "stopwords.csv"
    texts.write_text("title,text,label\n" + ",the and of to a,Real\n,the and of to a,Fake\n" * 30)
    arguments = ["--inventory", "edge", "--scenario", "edge", "--dataset", str(texts), "--results", str(results)]
    return subprocess.run(
        [sys.executable, "-m", "experiments", "experiment", *arguments],
        cwd=ROOT, env=os.environ | {"XDG_CACHE_HOME": str(folder)}, capture_output=True, text=True, check=False,
        timeout=300,
    )  # fmt: skip


@contextmanager
def mounted(path: Path, options: str) -> Iterator[None]:
    """A file system of its own at a path."""
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(path)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(path)], check=True)


def remount(path: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(path)], check=True)


@NEEDS_ROOT
@pytest.mark.fault(
    what="RESULTS is on a file system that is full, then nearly full, then has room",
    step="preflight",
    on="loopback",
    seen="nothing is begun, and no folder is left; with room the same command begins a run",
    ends="with the next command after there is room",
    reads=[
        "error: the disk is full: … was not written; free some space, then run this again",
        "error: … has 4 MB free, 200 MB required; free some space, or name another folder with --results",
    ],
)
def test_a_run_is_not_begun_where_there_is_no_room_for_it(tmp_path: Path, reads: Callable[[str], None]) -> None:
    disk = tmp_path / "disk"
    with mounted(disk, "size=4m"):
        filler = disk / "filler"
        filler.write_bytes(bytes(4 << 20))
        full = begin(disk / "results", tmp_path)
        filler.unlink()
        nearly = begin(disk / "results", tmp_path)
        reads(full.stderr + nearly.stderr)
        assert (full.returncode, nearly.returncode) == (1, 1)
        assert list((disk / "results").iterdir()) == []
        remount(disk, "size=300m")
        assert "no text has a word to learn from" in begin(disk / "results", tmp_path).stderr


@NEEDS_ROOT
@pytest.mark.fault(
    what="RESULTS is on a file system that is read-only, then writable",
    step="preflight",
    on="loopback",
    seen="nothing is begun; where it is writable the same command begins a run",
    ends="with the next command where it is writable",
    reads="error: … cannot be written: Read-only file system; name another folder with --results, or change its permissions",
)
def test_a_run_is_not_begun_where_nothing_can_be_written(tmp_path: Path, reads: Callable[[str], None]) -> None:
    disk = tmp_path / "disk"
    with mounted(disk, "size=300m,ro"):
        refused = begin(disk / "results", tmp_path)
        assert refused.returncode == 1
        reads(refused.stderr)
        remount(disk, "rw")
        assert "no text has a word to learn from" in begin(disk / "results", tmp_path).stderr


@pytest.mark.fault(
    what="RESULTS has a $ in its name, which Ansible would replace, so that records went to another folder",
    step="preflight",
    on="loopback",
    seen="nothing is begun, and no folder of a run is left",
    ends="with another RESULTS",
    reads="error: … has a $ in its name, which Ansible replaces by a variable's value; name another folder with --results",
)
def test_a_run_is_not_begun_where_its_records_would_not_come(tmp_path: Path, reads: Callable[[str], None]) -> None:
    results = tmp_path / "$HOME"
    refused = begin(results, tmp_path)
    assert refused.returncode == 1
    reads(refused.stderr)
    assert list(results.iterdir()) == []


@pytest.mark.fault(
    what="a run is resumed whose folder has records and no plan.json",
    step="preflight",
    on="loopback",
    seen="it is refused, and its records stay as they are",
    ends="with a new run",
    reads="error: … has records but no plan.json, so it cannot be resumed; begin a new run",
)
def test_records_without_a_plan_are_refused_and_stay(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], reads: Callable[[str], None]
) -> None:
    run = begun_run(tmp_path / "results")
    run.plan.unlink()
    folder.write(run.raw / folder.SAMPLES, "measured\n")
    command = ["experiment", "--run", run.id, "--results", str(run.path.parent), "--dataset", "/no/such.csv"]
    for _ in range(2):
        assert main(command) == 1
        reads(capsys.readouterr().err)
        assert (run.raw / folder.SAMPLES).read_text() == "measured\n"


@pytest.mark.parametrize("altered", ["the texts of a repetition", "the time limit", "the data set"])
@pytest.mark.fault(
    what="the plan or the data set in a run's folder is altered before the run is resumed",
    step="preflight",
    on="loopback",
    seen="it is refused before a node is touched; with the file restored it is resumed",
    ends="when the file is restored",
    reads="error: … it was altered since the run began; restore it, or begin a new run",
)
def test_a_run_whose_plan_or_data_was_altered_is_refused(
    tmp_path: Path, altered: str, capsys: pytest.CaptureFixture[str], reads: Callable[[str], None]
) -> None:
    run = begun_run(tmp_path / "results")
    path = run.dataset if altered == "the data set" else run.plan
    before = path.read_bytes()
    content = json.loads(before)
    if altered == "the data set":
        content["y"].reverse()
    elif altered == "the time limit":
        content["scenarios"]["edge"]["timeout_s"] = 1
    else:
        content["splits"][0].reverse()
    path.write_text(json.dumps(content))
    for more in ([], ["--repetitions", "6"]):
        assert main(["experiment", "--run", run.id, "--results", str(run.path.parent), *more]) == 1
        error = capsys.readouterr().err
        reads(error)
        assert str(path) in error
    path.write_bytes(before)
    assert resume.begun(run, resume.Asked(None, None, None, None, None), "local").experiment.repetitions == 4


@pytest.mark.long
@pytest.mark.fault(
    what="RESULTS is a symbolic link with blanks, quotes and letters beyond ASCII in its name",
    step="measure, collect, analyse",
    on="loopback",
    seen="nothing: plan and data leave the folder and the records come back to it, by Ansible; the report is written",
    ends="at once",
    reads=[],
)
def test_a_results_folder_may_have_any_name(tmp_path: Path, reads: Callable[[str], None]) -> None:
    real = tmp_path / 'd\'où "x" & co'
    real.mkdir()
    results = tmp_path / "my résults"
    results.symlink_to(real)
    inventory = controller_as_nodes(tmp_path)
    experiment = only("edge", REPETITIONS)
    unshaped = tuple(scenario.model_copy(update={"links": ()}) for scenario in experiment.scenarios)
    experiment = experiment.model_copy(update={"scenarios": unshaped})
    data = dataset.load("synthetic", texts=200, seed=1)
    run = folder.create(results, "edge", resume.as_yaml(experiment))
    context = steps.Context(
        run, experiment, read_inventory(str(inventory)), Playbooks(inventory, Reporter(), run.log), Reporter(), "", 1
    )
    drawn = plan.draw(experiment, context.placement, run=run.id, texts=len(data.texts), dataset=data.sha256, seed=1)
    with function(trained) as served:
        write_json(run.plan, plan.as_json(aimed(drawn, served.url)))
        dataset.write(data, run.dataset)
        run.update_manifest(run=run.id, inventory="edge", seed=1)
        for step in (steps.measure, steps.collect, steps.analyse):
            step(context)
    check_complete(run.path)
    assert run.report.exists()
    assert results.resolve() == run.path.parent
    reads(str(run.report))


def controller_as_nodes(tmp_path: Path) -> Path:
    """An inventory whose nodes are this machine, as its user, with the code and the Python of this checkout."""
    inventory, state = tmp_path / "inventory", tmp_path / "state"
    (state / "runtime").mkdir(parents=True)
    (state / "runtime" / "code").symlink_to(ROOT)
    nodes = {name: {"data_address": "127.0.0.1", "data_interface": "lo"} for name in ("bs", "edge-1", "edge-2")}
    groups = {
        "base_stations": {"hosts": {"bs": nodes.pop("bs")}},
        "compute": {"children": {"edge": {"hosts": nodes}}},
    }
    settings = {
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
        "faasbed_python": sys.executable,
        "faasbed_state_dir": str(state),
        "function_platform": "process",
        "lab_kind": "own",
    }
    (inventory / "group_vars").mkdir(parents=True)
    (inventory / "hosts.yml").write_text(yaml.safe_dump({"all": {"children": {"nodes": {"children": groups}}}}))
    (inventory / "group_vars" / "all.yml").write_text(yaml.safe_dump(settings))
    return inventory
