"""Faults of the controller, of its connection, and of the links, while a run is measured on a lab."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest
from controller import PATIENCE_S, provision, small_run
from processes import command, family, with_words
from replica import eventually
from testbed import TrialLab, run, trial_lab

from collect.folder import RunFolder
from collect.run import load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = [pytest.mark.lab(judges_links=False), pytest.mark.long]

REPETITIONS = 12
# So many last until another controller is there.
LONG_REPETITIONS = 30
# And so many longer than it takes until a node has looked at its links twice.
FOR_TWO_LOOKS = 60
# How long the controller connects again where the lease is short.
SHORT_LEASE_S = 120


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrialLab]:
    """A base station and one node, on which the function stands."""
    folder = tmp_path_factory.mktemp("pair")
    with trial_lab(folder) as made:
        made.describe({"base_stations": ("bs",), "edge": ("edge-1",)})
        provision(made, folder)
        yield made


@pytest.mark.fault(
    what="the controller is killed (-9), and nobody resumes the run before the lease of the links expires",
    step="measure",
    on="local",
    seen="the driver goes on; the nodes clear their links by themselves, and then it stops",
    ends="with the lease; the run with the next start",
    reads="bs: the driver had ended after … of … repetitions: the links are not in force: the lease of the links … expired …; "
    "those that are missing are measured now",
)
def test_a_lease_that_is_over_ends_the_measurement(
    pair: TrialLab, tmp_path: Path, reads: Callable[[str], None]
) -> None:
    small = small_run(pair, tmp_path, REPETITIONS)
    with small.begun() as controller:
        controller.measures()
        controller.kill()
    small.let_the_lease_pass()
    assert not small.are_shaped("bs")
    assert not small.are_shaped("edge-1")
    eventually(small.has_ended, "the end of the driver")
    before = small.finished()
    assert 0 < len(before) < REPETITIONS
    again = small.goes_on(REPETITIONS)
    reads(again.output)
    assert small.finished()[: len(before)] == before


@pytest.mark.fault(
    what="the controller is killed (-9) while it follows the driver, and the run is resumed at once",
    step="measure",
    on="local",
    seen="the driver goes on; the resumed run follows it, and touches neither links nor function",
    ends="at once",
    reads="the driver of this run still measures: following it",
)
def test_a_run_whose_controller_was_killed_is_taken_over(
    pair: TrialLab, tmp_path: Path, reads: Callable[[str], None]
) -> None:
    small = small_run(pair, tmp_path, LONG_REPETITIONS)
    with small.begun() as controller:
        controller.measures()
        controller.kill()
    driver = (small.at_base_station / "driver.pid").read_text("ascii")
    with small.resumed() as again:
        assert again.ends() == 0, again.output
    reads(again.output)
    assert "shape links" not in again.output
    assert (small.at_base_station / "driver.pid").read_text("ascii") == driver
    small.is_complete(LONG_REPETITIONS)
    assert not small.are_shaped()


@pytest.mark.fault(
    what="the controller is killed (-9) while the function is deployed, and the run is resumed at once",
    step="deploy function",
    on="local",
    seen="a guard ends the playbook that was left behind; the resumed run deploys the function and measures",
    ends="at once",
    reads="deploy function: … s",
)
def test_a_run_whose_controller_was_killed_in_deploy_goes_on_at_once(
    pair: TrialLab, tmp_path: Path, reads: Callable[[str], None]
) -> None:
    small = small_run(pair, tmp_path, 2)
    left_out = "verify_links,verify_links_again,analyse"
    with small.begun(left_out) as controller:
        controller.says("deploy function ...")
        eventually(lambda: len(with_words(b"ansible-playbook", str(small.inventory).encode())) > 0, "a playbook")
        controller.kill()
        left = with_words(b"ansible-playbook", str(small.inventory).encode())
        with small.resumed(left_out) as again:
            eventually(
                lambda: not left & with_words(b"ansible-playbook", str(small.inventory).encode()),
                "the end of the playbook that was left behind",
            )
            assert again.ends() == 0, again.output
    reads(again.output)
    small.is_complete(2)


@pytest.mark.fault(
    what="the controller sleeps (SIGSTOP of all its processes) for longer than the lease of the links",
    step="measure",
    on="local",
    seen="the nodes clear their links by themselves, and the driver stops; woken, the controller reports it and ends",
    ends="with the lease; the run with the next start",
    reads=[
        "The driver on bs ended after … repetitions: the links are not in force: the lease of the links … expired …",
        "what was measured is kept; resume the run with: make experiment RUN=…",
    ],
)
def test_a_controller_that_slept_for_longer_than_the_lease_reports_it(
    pair: TrialLab, tmp_path: Path, reads: Callable[[str], None]
) -> None:
    small = small_run(pair, tmp_path, REPETITIONS)
    with small.begun() as controller:
        controller.measures()
        asleep = family(controller.process.pid)
        for pid in asleep:
            os.kill(pid, signal.SIGSTOP)
        try:
            small.let_the_lease_pass()
            eventually(small.has_ended, "the end of the driver")
        finally:
            for pid in asleep:
                os.kill(pid, signal.SIGCONT)
        assert controller.ends() == 1, controller.output
    reads(controller.output)
    before = small.finished()
    assert 0 < len(before) < REPETITIONS
    small.goes_on(REPETITIONS)


@pytest.mark.fault(
    what="the sshd of the base station hangs for a while (SIGSTOP), and answers again",
    step="measure",
    on="local",
    seen="the driver goes on; the controller reports it within 15 s, and connects again for as long as the lease lasts",
    ends="within 15 s after it answers again",
    reads=["bs: …: the driver goes on; connecting again", "connected again after … s"],
)
def test_a_base_station_that_answers_again_is_followed_again(
    pair: TrialLab, tmp_path: Path, reads: Callable[[str], None]
) -> None:
    small = small_run(pair, tmp_path, LONG_REPETITIONS)
    with small.begun() as controller:
        controller.measures()
        hanging = sshds(pair, "bs")
        for pid in hanging:
            os.kill(pid, signal.SIGSTOP)
        try:
            controller.says("connecting again")
        finally:
            for pid in hanging:
                os.kill(pid, signal.SIGCONT)
        assert controller.ends() == 0, controller.output
    reads(controller.output)
    small.is_complete(LONG_REPETITIONS)


@pytest.mark.fault(
    what="the base station's management interface is without carrier for longer than the lease of the links",
    step="measure",
    on="local",
    seen="the base station clears its links by itself, and the driver stops; the controller connects again until the lease "
    "has expired, and then ends",
    ends="with the lease; the run with the next start after the node is back",
    reads=[
        "bs: …: the driver goes on; connecting again",
        "the driver could not be stopped: …; it stops by itself when its links are cleared",
        "the records stay on the base station for now: …",
        "the links could not be cleared: …; clear them later with playbooks/clear.yml",
        "what was measured is kept; resume the run with: make experiment RUN=…",
    ],
)
def test_a_base_station_that_is_away_for_longer_than_the_lease_loses_nothing(
    pair: TrialLab, tmp_path: Path, reads: Callable[[str], None]
) -> None:
    small = small_run(pair, tmp_path, REPETITIONS, SHORT_LEASE_S)
    cable = f"{pair.prefix}-m-10"
    with small.begun() as controller:
        controller.measures()
        subprocess.run(["ip", "link", "set", cable, "down"], check=True)
        try:
            small.let_the_lease_pass()
            assert controller.ends() == 1, controller.output
            eventually(small.has_ended, "the end of the driver")
        finally:
            subprocess.run(["ip", "link", "set", cable, "up"], check=True)
    reads(controller.output)
    before = small.finished()
    assert 0 < len(before) < REPETITIONS
    assert not small.are_shaped("bs")
    small.goes_on(REPETITIONS)


@pytest.mark.fault(
    what="the emulator of a node's links is killed (-9) in a repetition",
    step="measure",
    on="local",
    seen="the repetition does not count, and the driver stops; resumed, the run mends the link and measures it again",
    ends="with the next start",
    reads=[
        "The driver on bs ended after … of … repetitions: the links are not in force: the emulator of data0's links has ended.",
        "what was measured is kept; resume the run with: make experiment RUN=…",
    ],
)
def test_a_repetition_in_which_an_emulator_was_killed_is_measured_again(
    pair: TrialLab, tmp_path: Path, reads: Callable[[str], None]
) -> None:
    small = small_run(pair, tmp_path, REPETITIONS)
    with small.begun() as controller:
        controller.measures()
        status = pair.folder / "nodes" / "bs" / "netem" / "data0-edge-1.status"
        emulator = json.loads(status.read_text("utf-8"))["pid"]
        os.kill(emulator, signal.SIGSTOP)
        connecting = ["ip", "netns", "exec", pair.namespace("bs"), "ss", "-Htn", "state", "syn-sent"]
        eventually(lambda: run(connecting).stdout != "", "a request on its way")
        os.kill(emulator, signal.SIGKILL)
        assert controller.ends() == 1, controller.output
    reads(controller.output)
    small.goes_on(REPETITIONS)


@pytest.mark.fault(
    what="the base station's data interface loses its carrier and finds it again",
    step="measure",
    on="local",
    seen="the driver stops; resumed, the run applies the links again and goes on",
    ends="with the next start",
    reads="the links are not in force: data0 lost or found its carrier … times since the links were applied",
)
def test_a_link_that_flapped_is_noticed(pair: TrialLab, tmp_path: Path, reads: Callable[[str], None]) -> None:
    small = small_run(pair, tmp_path, REPETITIONS)
    with small.begun() as controller:
        controller.measures()
        port = f"{pair.prefix}-d-10"
        for state in ("down", "up"):
            command = ["ip", "-netns", f"{pair.prefix}-data", "link", "set", port, state]
            subprocess.run(command, check=True)
        assert controller.ends() == 1, controller.output
    reads(controller.output)
    small.goes_on(REPETITIONS)


@pytest.mark.fault(
    what="somebody removes a rule of tc by hand on the base station, so that frames pass unshaped",
    step="measure",
    on="local",
    seen="the driver stops; resumed, the run applies the links again and goes on",
    ends="with the next start",
    reads="the links are not in force: tc lists something else than was applied: …",
)
def test_links_that_were_changed_by_hand_are_noticed(
    pair: TrialLab, tmp_path: Path, reads: Callable[[str], None]
) -> None:
    small = small_run(pair, tmp_path, REPETITIONS)
    with small.begun() as controller:
        controller.measures()
        remove_a_rule(pair, "bs")
        assert controller.ends() == 1, controller.output
    reads(controller.output)
    small.goes_on(REPETITIONS)


@pytest.mark.fault(
    what="the route to the gateway changes in a run: requests leave by another interface, past the links",
    step="measure",
    on="local",
    seen="the round trip of their connections is shorter than that of the links, so they do not count; others do",
    lost="the repetitions in which requests went there, which count as failed",
    ends="when the route is as before",
    reads="requests to edge-1 did not cross the links: the smallest round trip of the connection was … ms, "
    "the links there and back add at least 40.000 ms; see by which addresses and interfaces …",
)
def test_repetitions_whose_requests_did_not_cross_the_links_are_counted_as_failed(
    pair: TrialLab, tmp_path: Path, reads: Callable[[str], None]
) -> None:
    links = [{"between": ["base_stations", "edge"], "delay_ms": 20}]
    small = small_run(pair, tmp_path, LONG_REPETITIONS, links=links)
    # By the management network, on which edge-1 takes what is for any address of its own.
    past = f"{pair.data_address(1)}/32 via {pair.management_address(1)} dev mgmt0 src {pair.data_address(0)}"
    with small.begun() as controller:
        controller.measures()
        pair.ssh("bs", "ip", "route", "add", *past.split()).check_returncode()
        try:
            records_of = small.at_base_station / "raw" / "samples.jsonl"
            eventually(
                lambda: "did not cross the links" in records_of.read_text("utf-8"), "a failed repetition", PATIENCE_S
            )
        finally:
            pair.ssh("bs", "ip", "route", "del", *past.split()).check_returncode()
        assert controller.ends() == 0, controller.output
    seen = load(RunFolder(controller.run)).measurements
    assert seen.finished
    assert len(seen.finished) + len(seen.failures) == LONG_REPETITIONS
    assert len({failure.error.partition(" was ")[0] for failure in seen.failures}) == 1
    reads(seen.failures[0].error)
    for one in seen.finished:
        for request in one.requests:
            assert request.links_rtt_ms == 40
            assert 39.9 <= (request.min_rtt_ms or 0) < 100  # an emulator sends up to 0.04 ms early


@pytest.mark.fault(
    what="a firewall on the gateway's node closes its port in a run (nftables, drop), and opens it again",
    step="measure",
    on="local",
    seen="requests wait for as long as the scenario allows; their repetitions fail with that reason, the others count",
    lost="the repetitions meanwhile, which count as failed",
    ends="when the port is open again",
    reads="http://…:31080/ cannot be reached: …",
)
def test_repetitions_before_which_a_firewall_closed_fail_and_others_follow(
    pair: TrialLab, tmp_path: Path, reads: Callable[[str], None]
) -> None:
    requests = {"parallel": 1, "idle_s": 1, "timeout_s": 3}
    small = small_run(pair, tmp_path, REPETITIONS, requests=requests)
    close = (
        "add table inet own; add chain inet own input { type filter hook input priority 0; }; add rule inet own input"
    )
    with small.begun() as controller:
        controller.measures()
        pair.ssh("edge-1", "nft", f"'{close} tcp dport 31080 drop'").check_returncode()
        try:
            records_of = small.at_base_station / "raw" / "samples.jsonl"
            eventually(lambda: "cannot be reached" in records_of.read_text("utf-8"), "a failed repetition", PATIENCE_S)
        finally:
            pair.ssh("edge-1", "nft", "delete", "table", "inet", "own").check_returncode()
        assert controller.ends() == 0, controller.output
    seen = load(RunFolder(controller.run)).measurements
    assert len(seen.finished) + len(seen.failures) == REPETITIONS
    assert REPETITIONS - 1 in {one.repetition for one in seen.finished}
    for failure in seen.failures:
        reads(failure.error)


@pytest.mark.fault(
    what="the data interface of the base station is set down in a run, and up again",
    step="measure",
    on="local",
    seen="the driver stops; resumed, the run applies the links again and goes on",
    ends="with the next start after the interface is up",
    reads="the links are not in force: data0 lost or found its carrier … since the links were applied",
)
def test_a_data_interface_that_went_down_ends_the_measurement(
    pair: TrialLab, tmp_path: Path, reads: Callable[[str], None]
) -> None:
    small = small_run(pair, tmp_path, REPETITIONS)
    with small.begun() as controller:
        controller.measures()
        pair.ssh("bs", "ip", "link", "set", "data0", "down").check_returncode()
        try:
            assert controller.ends() == 1, controller.output
        finally:
            pair.ssh("bs", "ip", "link", "set", "data0", "up").check_returncode()
    reads(controller.output)
    small.goes_on(REPETITIONS)


@pytest.mark.fault(
    what="the MTU of the base station's data interface is changed in a run",
    step="measure",
    on="local",
    seen="the driver stops, as larger frames would be lost in the links; resumed, the run applies them again and goes on",
    ends="with the next start",
    reads="the links are not in force: the MTU of data0 changed from 1500 to 1400 since the links were applied",
)
def test_an_mtu_that_was_changed_is_noticed(pair: TrialLab, tmp_path: Path, reads: Callable[[str], None]) -> None:
    small = small_run(pair, tmp_path, REPETITIONS)
    with small.begun() as controller:
        controller.measures()
        pair.ssh("bs", "ip", "link", "set", "data0", "mtu", "1400").check_returncode()
        try:
            assert controller.ends() == 1, controller.output
        finally:
            pair.ssh("bs", "ip", "link", "set", "data0", "mtu", "1500").check_returncode()
    reads(controller.output)
    small.goes_on(REPETITIONS)


@pytest.mark.fault(
    what="a compute node falls silent, as one does that is lost",
    step="measure",
    on="local",
    seen="within 10 s the driver ends; the run clears all links, shapes them again, and measures on",
    ends="within the same run",
    reads="edge-1 was lost: silent for 10 s: it is waited for, and the links are shaped and verified again",
)
def test_a_run_goes_on_when_a_node_that_fell_silent_answers(
    pair: TrialLab, tmp_path: Path, reads: Callable[[str], None]
) -> None:
    small = small_run(pair, tmp_path, LONG_REPETITIONS)
    with small.begun() as controller:
        controller.measures()
        sampler = pair.folder / "nodes" / "edge-1" / "monitor" / controller.run.name / "pid"
        os.kill(int(sampler.read_text("ascii")), signal.SIGKILL)
        assert controller.ends() == 0, controller.output
    reads(controller.output)
    assert controller.output.count("shape links: ") == 2
    small.is_complete(LONG_REPETITIONS)
    assert not small.are_shaped()


def remove_a_rule(lab: TrialLab, node: str) -> None:
    """Remove a rule of tc from a node by hand, so that frames which leave it pass unshaped."""
    listed = lab.ssh(node, "tc", "filter", "show", "dev", "data0", "egress").stdout.splitlines()
    words = next(line.split() for line in listed if line.startswith("filter protocol ip pref 64"))
    lab.ssh(node, "tc", "filter", "del", "dev", "data0", "egress", *words[1:5]).check_returncode()


def sshds(lab: TrialLab, node: str) -> list[int]:
    """The sshd of a node and those of its connections."""
    inside = map(int, run(["ip", "netns", "pids", lab.namespace(node)]).stdout.split())
    return [pid for pid in inside if b"sshd" in command(pid)]


@pytest.mark.fault(
    what="somebody removes a rule of tc by hand on a compute node, so that replies pass unshaped",
    step="measure",
    on="local",
    seen="the node itself records it within half a minute; what was measured since it was last seen good does not count",
    lost="the repetitions since then, which count as failed",
    ends="with the verification after measuring, which refuses the run",
    reads="the links that leave edge-1 were not in force: tc lists something else than was applied: …",
)
def test_replies_over_links_that_were_changed_by_hand_do_not_count(
    pair: TrialLab, tmp_path: Path, reads: Callable[[str], None]
) -> None:
    small = small_run(pair, tmp_path, FOR_TWO_LOOKS)
    with small.begun() as controller:
        controller.measures()
        samples = pair.folder / "nodes" / "edge-1" / "monitor" / controller.run.name
        good = '"links_problem": null'

        def looks() -> int:
            return sum(path.read_text("utf-8").count(good) for path in samples.glob("*.jsonl"))

        eventually(lambda: looks() >= 2, "the node's second look at its links", PATIENCE_S)
        remove_a_rule(pair, "edge-1")
        assert controller.ends() == 0, controller.output
    small.is_complete(FOR_TWO_LOOKS)  # as far as the base station can tell
    seen = load(RunFolder(controller.run)).measurements
    assert seen.finished
    assert {failure.repetition for failure in seen.failures} >= {FOR_TWO_LOOKS - 1}
    assert len(seen.finished) + len(seen.failures) == FOR_TWO_LOOKS
    reads(seen.failures[-1].error)
