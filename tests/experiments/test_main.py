"""The command line: help everywhere, one run at a time on an inventory, one sentence for what is wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

ROOT = Path(__file__).resolve().parents[2]


def experiments(*arguments: str, before: tuple[str, ...] = (), **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*before, sys.executable, "-m", "experiments", *arguments],
        cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


@pytest.mark.parametrize("command", ["provision", "verify", "experiment", "reset", "variables"])
def test_every_command_has_help(command: str) -> None:
    done = experiments(command, "--help")
    assert done.returncode == 0
    assert "--inventory NAME" in done.stdout


@pytest.mark.parametrize("command", ["provision", "verify", "experiment", "reset"])
def test_a_second_run_on_an_inventory_is_refused(command: str, tmp_path: Path) -> None:
    (tmp_path / "faasbed").mkdir()
    with FileLock(tmp_path / "faasbed" / "local.lock"):
        done = experiments(command, XDG_CACHE_HOME=str(tmp_path))
    assert done.returncode == 2
    assert done.stderr.startswith("error: another run is using inventory local on this machine")
    assert len(done.stderr.splitlines()) == 1


def test_without_root_nothing_is_begun(tmp_path: Path) -> None:
    # A user namespace without a map: nobody to the program, though the files can be read.
    done = experiments(
        "experiment", "--results", str(tmp_path / "r"), before=("unshare", "--user"), XDG_CACHE_HOME=str(tmp_path)
    )
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize("seed", ["-1", "one", "1.5"])
def test_a_seed_is_a_non_negative_integer(seed: str) -> None:
    done = experiments("experiment", f"--seed={seed}")
    assert done.returncode == 2
    assert f"invalid seed '{seed}': expected a non-negative integer" in done.stderr


def test_a_scenario_with_a_wrong_model_is_refused_before_anything_is_begun(tmp_path: Path) -> None:
    scenario = tmp_path / "wrong.yaml"
    scenario.write_text(
        "{name: edge, title: wrong, links: [{delay_ms: 1}], requests: {parallel: 2}, repetitions: 2,"
        " function: {nodes: [edge], replicas: 2, model: svm, options: {folds: 1, gird: {C: [1]}}}}"
    )
    done = experiments("experiment", "--scenario", str(scenario), "--results", str(tmp_path / "r"))
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {scenario}: function.model: unknown model 'svm': expected one of pac, log, ")
    assert not (tmp_path / "r").exists()


def test_texts_that_nothing_can_be_learnt_from_are_refused_before_a_node_is_touched(tmp_path: Path) -> None:
    texts = tmp_path / "stopwords.csv"
    texts.write_text("title,text,label\n" + ",the and of to a,Real\n,the and of to a,Fake\n" * 30)
    # Somebody's own nodes, which are not there: whoever asks them fails in another way.
    done = experiments(
        "experiment", "--inventory", "edge", "--scenario", "edge", "--dataset", str(texts),
        "--results", str(tmp_path / "r"), XDG_CACHE_HOME=str(tmp_path),
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr == (
        "error: dataset stopwords: scenario edge, repetition 0: no text has a word to learn from: 0 are empty, 60 have stop "
        "words and single letters only; give texts with other words\n"
    )
    assert list((tmp_path / "r").iterdir()) == []
