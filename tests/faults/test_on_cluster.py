"""Faults of a cluster's nodes and parts, on nodes that are containers, while a run is measured there."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from cluster import adopted, artifacts, missing
from controller import PATIENCE_S, SCENARIO, small_run
from replica import eventually
from testbed import ROOT, TrialLab, run, trial_lab

from collect import records
from collect.records import ModelRecord
from nodes.inventory import path_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from controller import SmallRun
    from image import BuiltImage

pytestmark = [pytest.mark.long, pytest.mark.lab(judges_links=False)]

REPETITIONS = 30  # a minute
# Until a node is called not Ready and is Ready again.
MANY = 80
# The controller looks at the links of all nodes after each third of it.
LEASE_S = 60
SERVER, AGENT = "edge-1", "edge-2"
PAIR: dict[str, Any] = {
    "title": "Two nodes, 20 ms away",
    "function": {"nodes": ["edge"], "replicas": 2, "model": "mnb", "options": {"folds": 2}},
    "requests": {"parallel": 2, "timeout_s": 15},
    "data": {"test_share": 0.4, "training_shares": [0.3, 0.3]},
}
# What a test is not about: the links are not judged, nobody reads the report.
LEFT_OUT = "verify_links,verify_links_again,analyse"
UNIT = "faasbed-k3s"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory, function_image: BuiltImage) -> Iterator[TrialLab]:
    """A base station and a cluster of two nodes with the function; tests leave it answering."""
    if reason := missing():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("pair")
    scenario = folder / "pair.yaml"
    scenario.write_text(yaml.safe_dump(SCENARIO | {"repetitions": 1} | PAIR), "utf-8")
    with trial_lab(folder, "containers") as lab:
        lab.describe({"base_stations": ("bs",), "edge": (SERVER, AGENT)})
        settings = yaml.safe_load(path_of("containers").joinpath("group_vars", "all.yml").read_text("utf-8"))
        own = adopted(artifacts(), folder / "artifacts")
        settings = {name: settings[name] for name in ("function_platform", "runtime_wheels_dir")} | {
            "k3s_kubeconfig": str(folder / "kubeconfig.yaml"),
            "k3s_token_file": str(folder / "token"),
            "k3s_artifacts_dir": str(own),
            "knative_artifacts_dir": str(own),
            "function_image_archive": str(function_image.build / "function.oci.tar"),
        }
        with (lab.inventory / "group_vars" / "all.yml").open("a", encoding="utf-8") as variables:
            yaml.safe_dump(settings, variables)
        command = [sys.executable, "-m", "experiments", "provision", "--inventory", str(lab.inventory)]
        done = run([*command, "--scenario", str(scenario)], cwd=ROOT, deadline_s=PATIENCE_S)
        assert done.returncode == 0, done.stdout + done.stderr
        yield lab


def is_ready(lab: TrialLab, node: str) -> bool:
    """Whether the cluster calls a node Ready."""
    done = lab.ssh(SERVER, "k3s", "kubectl", "get", "node", node, "--output", "json")
    if done.returncode:
        return False
    conditions = json.loads(done.stdout)["status"]["conditions"]
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def outcomes(small: SmallRun) -> dict[int, str | None]:
    """The error of each repetition that is on record with links that were in force; a second record is a failure."""
    samples = next(small.results.iterdir()) / "raw" / "samples.jsonl"
    if not samples.exists():
        samples = small.at_base_station / "raw" / "samples.jsonl"
    found: dict[int, str | None] = {}
    for one in records.read(samples):
        if isinstance(one, ModelRecord) and not one.warmup and one.links is not None:
            assert one.repetition not in found, f"repetition {one.repetition} was finished twice"
            found[one.repetition] = one.error
    return found


def is_whole(small: SmallRun, repetitions: int = REPETITIONS) -> dict[int, str]:
    """Check that each repetition is on record once, and the function serves at the end; return the errors."""
    found = outcomes(small)
    assert sorted(found) == list(range(repetitions))
    assert None in [found[number] for number in range(repetitions - 5, repetitions)]
    return {number: error for number, error in found.items() if error is not None}


@contextmanager
def stopped_replica(lab: TrialLab, node: str) -> Iterator[None]:
    """The function's processes on a node do nothing."""
    lab.ssh(node, "pkill -STOP -f '^python3 -m app'").check_returncode()
    try:
        yield
    finally:
        lab.ssh(node, "pkill -CONT -f '^python3 -m app'")


@pytest.mark.fault(
    what="Knative's activator is killed (-9) with two requests out",
    step="measure",
    on="containers",
    seen="that repetition fails, the kubelet starts the activator again, and the driver goes on",
    lost="that repetition, and those until the activator is ready",
    ends="with the activator's start, some seconds",
    reads="http://…:31080/ answered 503: upstream connect error or disconnect/reset before headers",
)
def test_an_activator_that_is_killed_with_requests_out_costs_these_only(
    pair: TrialLab, tmp_path: Path, reads: Callable[[str], None]
) -> None:
    small = small_run(pair, tmp_path, REPETITIONS, **PAIR)
    with small.begun(LEFT_OUT) as controller:
        controller.measures()
        with stopped_replica(pair, AGENT):
            waiting = [
                "ip",
                "netns",
                "exec",
                pair.namespace("bs"),
                "ss",
                "-Htn",
                "state",
                "established",
                "dport",
                "=",
                ":31080",
            ]
            seen: list[set[str]] = [set()]

            def is_out() -> bool:
                """Whether a connection of the look before is still there: its request waits for the replica."""
                seen.append({line.split()[2] for line in run(waiting).stdout.splitlines()})
                return bool(seen[-1] & seen[-2])

            eventually(is_out, "a request that is not answered")
            pair.ssh(SERVER, "pkill -KILL -x activator").check_returncode()
        assert controller.ends() == 0, controller.output
    reads(controller.output)
    errors = is_whole(small)
    assert errors
    assert len(errors) < REPETITIONS / 2


@pytest.mark.fault(
    what="a node of the cluster is not Ready for a while: its k3s is stopped, its replicas go on",
    step="measure",
    on="containers",
    seen="repetitions fail, because both requests are served by the replica that is left; the driver goes on",
    lost="the repetitions until the node is Ready again",
    ends="when the node is Ready again",
    reads=[],
)
def test_a_node_that_is_not_ready_fails_repetitions_by_name(pair: TrialLab, tmp_path: Path) -> None:
    small = small_run(pair, tmp_path, MANY, **PAIR)
    with small.begun(LEFT_OUT) as controller:
        controller.measures()
        pair.ssh(AGENT, "systemctl", "stop", UNIT).check_returncode()
        try:
            eventually(lambda: not is_ready(pair, AGENT), f"{AGENT} not Ready")
            eventually(
                lambda: any("were served by 1 replica" in (error or "") for error in outcomes(small).values()),
                "a failure",
            )
        finally:
            pair.ssh(AGENT, "systemctl", "start", "--no-block", UNIT)
        eventually(lambda: is_ready(pair, AGENT), f"{AGENT} Ready")
        assert controller.ends() == 0, controller.output
    errors = is_whole(small, MANY)
    assert any(f"planned were one each on {SERVER}, {AGENT}" in error for error in errors.values())


@pytest.mark.fault(
    what="a node of the cluster reboots",
    step="measure",
    on="containers",
    seen="repetitions fail; the controller finds that the node's links are gone and ends the run; resumed, it waits until "
    "the node is back, applies the links and measures what is missing",
    lost="the repetitions until the controller looked at the links",
    ends="with the next start",
    reads="what was measured is kept; resume the run with: make experiment RUN=…",
)
def test_a_node_that_reboots_ends_the_run_which_then_goes_on(
    pair: TrialLab, tmp_path: Path, reads: Callable[[str], None]
) -> None:
    small = small_run(pair, tmp_path, MANY, LEASE_S, **PAIR)
    with small.begun(LEFT_OUT) as controller:
        controller.measures()
        for command in ("kill", "start"):
            subprocess.run(["podman", command, pair.namespace(AGENT)], check=True, capture_output=True)
        assert controller.ends() == 1, controller.output
    reads(controller.output)
    assert AGENT in controller.output
    before = outcomes(small)
    assert len(before) < MANY
    with small.resumed(LEFT_OUT) as again:
        assert again.ends() == 0, again.output
    assert outcomes(small).items() >= before.items()
    is_whole(small, MANY)
    assert not small.are_shaped()
