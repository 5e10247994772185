"""Faults of a cluster's nodes and parts, on nodes that are containers, while a run is measured there."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from cluster import CLUSTER_DEADLINE_S, adopted, artifacts, missing
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
# Until a node is called not Ready, and some more: two minutes and a half.
MANY = 300
# Requests may meet one replica, one after the other, while the machine does other things.
A_FEW = 3
SERVER, AGENT = "edge-1", "edge-2"
PAIR: dict[str, Any] = {
    "title": "Two nodes, 20 ms away",
    # Requests compute for longer than the jitter of their links and of a busy machine parts them: they meet both replicas.
    "function": {"nodes": ["edge"], "replicas": 2, "model": "mnb", "options": {"folds": 2, "repeats": 50}},
    "requests": {"parallel": 2, "timeout_s": 15},
    "data": {"test_share": 0.4, "training_shares": [0.3, 0.3]},
}
# What a test is not about: the links are not judged, nobody reads the report.
LEFT_OUT = "verify_links,verify_links_again,analyse"
VERIFIED = "verify_links_again,analyse"
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
            # Other tests may have the processor meanwhile.
            "k3s_timeout_s": CLUSTER_DEADLINE_S,
            "function_ready_timeout_s": CLUSTER_DEADLINE_S,
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


def samples_of(small: SmallRun) -> Path:
    """The records of a run, where they are."""
    fetched = next(small.results.iterdir()) / "raw" / "samples.jsonl"
    return fetched if fetched.exists() else small.at_base_station / "raw" / "samples.jsonl"


def outcomes(small: SmallRun) -> dict[int, str | None]:
    """The error of each repetition that is on record with links that were in force; a second record is a failure."""
    found: dict[int, str | None] = {}
    for one in records.read(samples_of(small)):
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
    seen="a repetition fails, because both requests are served by the replica that is left; until the node is Ready again the "
    "driver sends only what tells it that",
    lost="that repetition",
    ends="when the node is Ready again",
    reads=[],
)
def test_a_node_that_is_not_ready_fails_repetitions_by_name(pair: TrialLab, tmp_path: Path) -> None:
    small = small_run(pair, tmp_path, MANY, **PAIR)
    with small.begun(LEFT_OUT) as controller:
        controller.measures()
        # It may fail before this test has seen the node's condition change, and fails only once.
        before = len(outcomes(small))
        pair.ssh(AGENT, "systemctl", "stop", UNIT).check_returncode()
        try:
            eventually(lambda: not is_ready(pair, AGENT), f"{AGENT} not Ready")
            eventually(
                lambda: any(
                    "were served by 1 replica" in (error or "") for error in list(outcomes(small).values())[before:]
                ),
                "a failure",
            )
        finally:
            pair.ssh(AGENT, "systemctl", "start", "--no-block", UNIT)
        eventually(lambda: is_ready(pair, AGENT), f"{AGENT} Ready")
        assert controller.ends() == 0, controller.output
    errors = list(is_whole(small, MANY).values())
    assert 0 < len(errors) <= A_FEW, errors
    assert any(f"planned were one each on {SERVER}, {AGENT}" in error for error in errors)


@pytest.mark.fault(
    what="a node of the cluster is killed, and started again: at once, or when the cluster calls it not Ready",
    step="measure",
    on="containers",
    seen="within 10 s the requests that are out are given up, and their repetition fails with that reason; the run waits for the "
    "node, shapes and verifies its links, checks that each node has its replica, and measures that repetition again",
    lost="nothing but the repetitions of the half minute before, of whose links nobody knows",
    ends="within the same run, when the node's k3s is back",
    reads="edge-2 was lost: silent for 10 s: it is waited for, and the links are shaped and verified again",
)
@pytest.mark.parametrize("away", [False, True], ids=["at once", "when it is not Ready"])
def test_a_node_that_is_killed_and_comes_back_is_measured_again(
    pair: TrialLab, tmp_path: Path, reads: Callable[[str], None], *, away: bool
) -> None:
    small = small_run(pair, tmp_path, REPETITIONS, **PAIR)
    with small.begun(VERIFIED) as controller:
        controller.measures()
        subprocess.run(["podman", "kill", pair.namespace(AGENT)], check=True, capture_output=True)
        if away:
            eventually(lambda: not is_ready(pair, AGENT), f"{AGENT} not Ready")
        subprocess.run(["podman", "start", pair.namespace(AGENT)], check=True, capture_output=True)
        assert controller.ends() == 0, controller.output
    reads(controller.output)
    # Lines of a step's own progress are indented.
    lines = [line for line in controller.output.splitlines() if line.endswith(" s") and not line.startswith(" ")]
    steps = [line.partition(": ")[0] for line in lines]
    assert steps[steps.index("wait for edge-2") :] == [
        *(f"wait for {AGENT}", "shape links", "verify links", "deploy function", "measure", "collect", "clear links")
    ], controller.output
    errors = is_whole(small).values()
    assert len(errors) <= A_FEW, errors
    assert all("were served by 1 replica" in error for error in errors), errors
    measured = [one for one in records.read(samples_of(small)) if not isinstance(one, records.ChangeRecord)]
    lost = [one for one in measured if one.error == f"{AGENT} was lost: silent for 10 s"]
    assert {one.links for one in lost if isinstance(one, ModelRecord)} <= {None}, "measured again"
    assert not small.are_shaped()


@pytest.mark.fault(
    what="the k3s of the server is killed (-9) while an agent joins",
    step="provision",
    on="containers",
    seen="systemd starts it again, and the agent, which asks again, joins; the same command ends well",
    ends="within the same command",
    reads=[],
)
def test_a_server_that_is_killed_while_an_agent_joins_is_joined(pair: TrialLab) -> None:
    command = ["playbooks/cluster.yml", "--limit", AGENT, "-e", "k3s_action=remove"]
    assert pair.playbook(*command).returncode == 0
    ansible = [str(ROOT / ".venv" / "bin" / "ansible-playbook"), "-i", str(pair.inventory), "playbooks/platform.yml"]
    with subprocess.Popen(ansible, cwd=ROOT, stdout=subprocess.PIPE, text=True) as joining:
        eventually(lambda: pair.ssh(AGENT, "systemctl", "is-active", UNIT).stdout.strip() == "activating", "a start")
        pair.ssh(SERVER, "systemctl", "kill", "--signal=KILL", UNIT).check_returncode()
        output, _ = joining.communicate(timeout=PATIENCE_S)
    assert joining.returncode == 0, output
    assert pair.ssh(SERVER, "systemctl", "show", UNIT, "--property", "NRestarts", "--value").stdout != "0\n"
    assert is_ready(pair, AGENT)
