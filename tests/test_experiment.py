"""The whole way on the lab: from a scenario's name to a report, on real texts."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from testbed import TrialLab, trial_lab

from collect import records
from collect.records import ModelRecord, RequestRecord

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

REPETITIONS = 3


def experiments(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "experiments", *arguments]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False, timeout=1200)


@pytest.fixture(scope="module")
def empty_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrialLab]:
    """A place for a lab that is not the user's; nothing stands there yet."""
    with trial_lab(tmp_path_factory.mktemp("lab")) as made:
        yield made


@pytest.fixture(scope="module")
def run(root: Path, news: Path, empty_lab: TrialLab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    results = tmp_path_factory.mktemp("results")
    inventory = ["--inventory", str(empty_lab.inventory)]
    options = ["--repetitions", str(REPETITIONS), "--dataset", str(news), "--results", str(results)]
    done = experiments(root, "experiment", *inventory, *options)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    yield next(results.iterdir())
    for _ in range(2):
        done = experiments(root, "reset", *inventory)
        assert done.returncode == 0, done.stderr
    assert done.stdout.rstrip().endswith("changed=0")
    assert not empty_lab.folder.exists()


@pytest.mark.lab
def test_an_experiment_leaves_every_repetition_a_report_and_clear_links(run: Path, empty_lab: TrialLab):
    found = list(records.read(run / "raw" / "samples.jsonl"))
    models = [one for one in found if isinstance(one, ModelRecord) and not one.warmup]
    assert sorted((one.scenario, one.repetition) for one in models) == [
        (name, index) for name in ("cloud", "edge") for index in range(REPETITIONS)
    ]
    assert all(one.error is None and one.accuracy_test is not None and one.accuracy_test > 0.5 for one in models)
    requests = [one for one in found if isinstance(one, RequestRecord)]
    assert {one.congestion_control for one in requests} == {"cubic"}
    # All crossed the links: 1.25 ms ± 0.25 ms and 15 ms ± 3 ms there and back, of which draws take four sigma at most.
    assert {(one.scenario, one.links_rtt_ms and round(one.links_rtt_ms, 1)) for one in requests} == {
        ("edge", 0.5),
        ("cloud", 6.0),
    }
    assert all((one.min_rtt_ms or 0) > (one.links_rtt_ms or 0) - 0.1 for one in requests)
    for index in range(REPETITIONS):
        pair = [one for one in requests if one.scenario == "edge" and one.repetition == index and not one.warmup]
        assert {one.node for one in pair} == {"edge-1", "edge-2"}
    assert (run / "report.html").stat().st_size > 50_000
    for when in ("before", "after"):
        assert all(link["ok"] for link in json.loads((run / "links" / f"{when}.json").read_text())["links"])
    command = ["ip", "netns", "exec", empty_lab.namespace("bs"), "tc", "qdisc"]
    shaped = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "noqueue" in shaped.stdout
    assert "clsact" not in shaped.stdout
    assert "netem" not in shaped.stdout


@pytest.mark.lab
def test_a_finished_run_goes_on_without_measuring_anything_again(run: Path, empty_lab: TrialLab, root: Path):
    before = (run / "raw" / "samples.jsonl").read_bytes()
    command = ["experiment", "--run", run.name, "--results", str(run.parent)]
    refused = experiments(root, *command)
    assert "a path is not taken from a run's folder; name the inventory yourself" in refused.stderr
    done = experiments(root, *command, "--inventory", str(empty_lab.inventory))
    assert done.returncode == 0, done.stderr
    assert (run / "raw" / "samples.jsonl").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--scenario", "egde"], "unknown scenario 'egde'"),
        (["--inventory", "moon"], "inventory 'moon': there is no"),
        pytest.param(["--dataset", "/nowhere.json"], "/nowhere.json", marks=pytest.mark.lab),  # local needs root first
        (["--run", "no-such-run"], "run an experiment first (make experiment)"),
    ],
)
def test_bad_input_is_one_sentence_and_an_exit_code(
    arguments: list[str], sentence: str, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))  # whatever runs on this machine's own lab
    results = tmp_path / "results"
    done = experiments(root, "experiment", *arguments, "--results", str(results))
    assert done.returncode != 0
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert not results.exists() or list(results.iterdir()) == [], "a run that could not begin leaves no folder"
