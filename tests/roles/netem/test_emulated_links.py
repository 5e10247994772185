"""The emulator on real namespaces: links are what was asked for, wrong ones are noticed, and nothing stays behind."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from fidelity import top_mbit
from wires import ROLE, ModuleFailedError, Wires, link

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.lab

# How long a link that is wrong is measured again; a machine that is busy for a moment must not be what is told of it.
WRONG_S = 10

RECEIVE = """
import hashlib, socket, sys, time
with socket.create_server((sys.argv[1], 7000), family=socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET) as server:
    print("listening", flush=True)
    taken, _ = server.accept()
    read, size, start = hashlib.sha256(), 0, time.monotonic()
    while part := taken.recv(1 << 16):
        read.update(part)
        size += len(part)
    print(read.hexdigest(), size * 8 / 1e6 / (time.monotonic() - start))
"""
GREET = """
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
    sender.sendto(b"hello", (sys.argv[1], 9))
"""
SEND = """
import random, socket, sys
with socket.create_connection((sys.argv[1], 7000)) as sender:
    sender.sendall(random.Random(1).randbytes(int(sys.argv[2])))
"""


def counters(wires: Wires, node: str, target: str) -> dict[str, Any]:
    path = wires.folder / node / f"data0-{target}.status"
    seen: dict[str, Any] = json.loads(path.read_text())
    return seen


def runs(pid: int) -> bool:
    """Return whether a process is there and not only waiting to be reaped."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def upload(wires: Wires, source: str, address: str, target: str, size: int) -> tuple[str, float]:
    """Send bytes by TCP; return the receiver's digest of them and the rate in Mbit/s."""
    receiver = subprocess.Popen(
        wires.inside(target, sys.executable, "-c", RECEIVE, address), stdout=subprocess.PIPE, text=True
    )
    assert receiver.stdout is not None
    assert receiver.stdout.readline() == "listening\n"
    wires.run(source, sys.executable, "-c", SEND, address, str(size))
    output, _ = receiver.communicate(timeout=60)
    digest, rate_mbit = output.split()
    return digest, float(rate_mbit)


@pytest.mark.parametrize(
    ("delay_ms", "jitter_ms", "loss_percent"), [(1.25, 0.25, 0.02), (15, 3, 0.24), (0.1, 0, 0), (50, 0, 0)]
)
def test_a_link_is_what_was_asked_for(wires: Wires, delay_ms: float, jitter_ms: float, loss_percent: float):
    links = [link("a", "b", delay_ms, jitter_ms, loss_percent), link("b", "a", delay_ms, jitter_ms, loss_percent)]
    wires.baseline(links)
    for node in ("a", "b"):
        result = wires.links(node, "present", links, backend="emulator")
        assert (result["changed"], result["backend"]) == (True, "emulator")
    entries = wires.verdicts(links)
    assert [entry["problems"] for entry in entries] == [[], []]
    assert all(entry["clock"] == "shared" for entry in entries)


def test_a_second_run_changes_nothing_and_a_changed_value_that_link_only(wires: Wires):
    first = [link("a", "b", 5, 1), link("a", "c", 2), link("b", "a", 5)]
    assert wires.links("a", "present", first, backend="emulator")["changed"]
    assert not wires.links("a", "present", first, backend="emulator")["changed"]
    before = counters(wires, "a", "b")["pid"]
    shown = wires.tc("a")
    changed = [link("a", "b", 7, 1), *first[1:]]
    trial = wires.links("a", "present", changed, backend="emulator", check=True)
    assert trial["changed"]
    assert trial["diff"]["before"].splitlines()[0] == "a -> b: 5 ms ± 1 ms, 0 % loss"
    assert trial["diff"]["after"].splitlines()[0] == "a -> b: 7 ms ± 1 ms, 0 % loss"
    assert wires.links("a", "present", first, backend="emulator")["changed"] is False, "the trial changed something"
    assert wires.links("a", "present", changed, backend="emulator")["changed"]
    assert {counters(wires, "a", target)["pid"] for target in ("b", "c")} == {before}, "one process for both"
    assert wires.tc("a") == shown
    entry = wires.verdicts([changed[0]], probes=300)[0]
    assert entry["delay"]["median_ms"] == pytest.approx(7, abs=0.3)


def test_a_link_that_is_gone_from_the_list_is_cleared(wires: Wires):
    wires.links("a", "present", [link("a", "b", 5), link("a", "c", 5)], backend="emulator")
    wires.links("a", "present", [link("a", "c", 5)], backend="emulator")
    assert wires.verdicts([link("a", "b", 0), link("a", "c", 5)], probes=200)[0]["delay"]["median_ms"] < 0.5
    assert not (wires.folder / "a" / "data0-b.status").exists()


def test_frames_overtake_those_of_a_longer_delay_that_was_changed_and_a_link_without_jitter_keeps_order(wires: Wires):
    slow, fast = link("a", "b", 900), link("a", "b", 5)
    wires.links("a", "present", [slow], backend="emulator")
    wires.run("a", sys.executable, "-c", GREET, wires.address("b"))
    wires.links("a", "present", [fast], backend="emulator")
    for _ in range(2):  # beside the old values' frame, and when it has left
        entry = wires.verdicts([fast], probes=500)[0]
        assert (entry["problems"], entry["reordered"]["count"]) == ([], 0)


def test_order_is_kept_where_the_link_says_so(wires: Wires):
    ordered = [link("a", "b", 15, 3, reorder=False), link("a", "c", 15, 3)]
    wires.baseline(ordered)
    wires.links("a", "present", ordered, backend="emulator")
    kept, free = wires.verdicts(ordered)
    assert kept["problems"] == []
    assert kept["reordered"]["count"] == 0
    assert free["reordered"]["count"] > 50


@pytest.mark.parametrize(
    ("applied", "word"),
    [
        (link("a", "b", 2.5, 0.25, 0.02), "delay"),
        (link("a", "b", 1.25, 0, 0.02), "jitter"),
        (link("a", "b", 1.25, 0.25, 5), "loss"),
        (link("c", "b", 1.25, 0.25, 0.02), "delay"),
    ],
    ids=["double delay", "lost jitter", "more loss", "this direction missing"],
)
def test_a_wrong_link_fails_the_gate_with_the_numbers(wires: Wires, applied: dict[str, Any], word: str):
    asked = [link("a", "b", 1.25, 0.25, 0.02)]
    wires.baseline(asked)
    wires.links(applied["source"], "present", [applied], backend="emulator")
    entry = wires.verdicts(asked, patience_s=WRONG_S)[0]
    assert not entry["ok"]
    assert any(problem.startswith(word) and "expected" in problem for problem in entry["problems"]), entry["problems"]


def test_a_link_that_was_shaped_in_one_direction_only_fails_in_the_other(wires: Wires):
    both = [link("a", "b", 15, 3, 0.24), link("b", "a", 15, 3, 0.24)]
    wires.baseline(both)
    wires.links("a", "present", both, backend="emulator")
    (there,) = wires.verdicts(both[:1])
    (back,) = wires.verdicts(both[1:], patience_s=WRONG_S)
    assert there["ok"], there["problems"]
    assert not back["ok"]
    assert back["problems"][0].startswith("delay 0.")
    assert wires.links("b", "present", both, backend="emulator", check=True)["diff"]["before"] == ""


@contextlib.contextmanager
def starving(pid: int, seconds: float, over: threading.Event | None = None) -> Iterator[None]:
    """Stop a process for so long, again and again; until the event at most."""
    over = over or threading.Event()

    def starve() -> None:
        while not over.wait(seconds):
            os.kill(pid, signal.SIGSTOP)
            over.wait(seconds)
            os.kill(pid, signal.SIGCONT)

    thread = threading.Thread(target=starve)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        os.kill(pid, signal.SIGCONT)


def test_an_emulator_that_gets_no_cpu_time_fails_by_that_name(wires: Wires):
    asked = [link("a", "b", 15, 3)]
    wires.baseline(asked)
    wires.links("a", "present", asked, backend="emulator")
    with starving(counters(wires, "a", "b")["pid"], 0.01):
        entry = wires.verdicts(asked, probes=300, patience_s=3)[0]
    assert any("it gets too little CPU time" in problem for problem in entry["problems"]), entry["problems"]


def test_a_link_whose_machine_stalled_for_a_while_is_measured_until_it_shows_what_it_does(wires: Wires):
    asked = [link("a", "b", 15, 3)]
    wires.baseline(asked)
    wires.links("a", "present", asked, backend="emulator")
    over = threading.Event()

    def relent() -> None:
        # in the third measurement
        while not over.wait(0.01) and counters(wires, "a", "b")["in"] < 2.5 * 300:
            pass
        over.set()

    patience = threading.Thread(target=relent)
    with starving(counters(wires, "a", "b")["pid"], 0.01, over):
        patience.start()
        entry = wires.verdicts(asked, probes=300)[0]
        over.set()
        patience.join()
    assert entry["ok"], entry["problems"]
    assert len(entry["measured_before"]) >= 2
    assert all("it gets too little CPU time" in sentence for sentence in entry["measured_before"][:2])


def test_a_link_goes_on_after_it_was_offered_more_than_it_can_carry(wires: Wires):
    asked = [link("a", "b", 5)]
    wires.baseline(asked)
    wires.links("a", "present", asked, backend="emulator")
    with starving(counters(wires, "a", "b")["pid"], 0.1):
        top_mbit(wires, "emulator", 5)
    top_mbit(wires, "emulator", 3)
    assert wires.verdicts(asked)[0]["problems"] == []
    assert counters(wires, "a", "b")["overrun"] > 0, "it could carry it all"


def test_a_killed_emulator_lets_nothing_through_and_is_noticed_and_mended(wires: Wires):
    asked = [link("a", "b", 1.25, 0.25)]
    wires.links("a", "present", asked, backend="emulator")
    os.kill(counters(wires, "a", "b")["pid"], signal.SIGKILL)
    entry = wires.verdicts(asked, probes=200, patience_s=0)[0]
    assert entry["probes"]["received"] == 0
    assert entry["problems"][-1] == "only 0 of 200 probes were answered"
    trial = wires.links("a", "present", asked, backend="emulator", check=True)
    assert trial["changed"]
    assert "not in force as recorded" in trial["diff"]["before"]
    assert wires.links("a", "present", asked, backend="emulator")["changed"]
    assert wires.verdicts(asked, probes=200, patience_s=0)[0]["probes"]["received"] == 200


@pytest.mark.parametrize("killed", [False, True], ids=["running", "killed"])
def test_removal_leaves_everything_as_it_was(wires: Wires, killed: bool):
    before = wires.tc("a")
    wires.links("a", "present", [link("a", "b", 5), link("a", "c", 5)], backend="emulator")
    pid = counters(wires, "a", "b")["pid"]
    if killed:
        os.kill(pid, signal.SIGKILL)
        (wires.folder / "a" / "data0.state").unlink()
    assert wires.links("a", "absent", check=True)["changed"]
    assert wires.links("a", "absent")["changed"]
    assert wires.tc("a") == before
    assert not runs(pid)
    assert list((wires.folder / "a").iterdir()) == []
    assert wires.links("a", "absent", purge=True)["changed"]
    assert not (wires.folder / "a").exists()
    assert not wires.links("a", "absent")["changed"]


def test_a_hook_and_a_filter_of_somebody_else_stay(wires: Wires):
    wires.run("a", "tc", "qdisc", "add", "dev", "data0", "clsact")
    theirs = "protocol ip pref 7 u32 match ip dst 192.0.2.1/32 action mirred egress redirect dev lo"
    wires.run("a", "tc", "filter", "add", "dev", "data0", "egress", *theirs.split())
    before = wires.tc("a")
    wires.links("a", "present", [link("a", "b", 5)], backend="emulator")
    wires.links("a", "absent")
    assert wires.tc("a") == before


def test_what_arrives_over_a_lossy_link_is_what_was_sent(wires: Wires):
    size = 3_000_000
    wires.links("a", "present", [link("a", "b", 2, 0.5, 1)], backend="emulator")
    for address in (wires.address("b"), wires.address6("b")):
        digest, _ = upload(wires, "a", address, "b", size)
        assert digest == hashlib.sha256(random.Random(1).randbytes(size)).hexdigest()
    # The counters are current to 0.1 s; what is waited for is the last of them, and the bound stays.
    deadline = time.monotonic() + 5
    while (seen := counters(wires, "a", "b"))["in"] <= 2 * size / 1448 and time.monotonic() < deadline:
        time.sleep(0.02)
    assert seen["in"] > 2 * size / 1448, "TCP handed the link larger frames than the wire takes"
    assert seen["lost"] > 0


def test_only_the_targets_own_addresses_are_shaped(wires: Wires):
    wires.run("b", "ip", "addr", "add", "198.19.128.200/24", "dev", "data0")
    wires.links("a", "present", [link("a", "b", 50)], backend="emulator")
    assert wires.connect_ms("a", wires.address("b"), 9) > 50
    assert wires.connect_ms("a", wires.address6("b"), 9) > 50
    assert wires.connect_ms("a", "198.19.128.200", 9) < 25


def test_management_passes_unshaped_where_it_takes_the_same_interface(wires: Wires):
    for node, peer in (("a", "b"), ("b", "a")):
        wires.links(node, "present", [link(node, peer, 50)], backend="emulator", management_ports=[22, 2222])
    for address in (wires.address("b"), wires.address6("b")):
        assert wires.connect_ms("a", address, 9) > 100
        assert wires.connect_ms("a", address, 22) < 25
        assert wires.connect_ms("a", address, 2222) < 25


def test_a_rate_is_kept(wires: Wires):
    wires.links("a", "present", [link("a", "b", 2, rate_mbit=20)], backend="emulator")
    _, rate_mbit = upload(wires, "a", wires.address("b"), "b", 5_000_000)
    assert 17 < rate_mbit < 20.5


def test_no_responder_stays(wires: Wires):
    wires.verdicts([link("a", "b", 0)], probes=200)
    assert wires.run("a", "ip", "netns", "pids", f"{wires.prefix}-b") == ""


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"interface": "data7"}, "there is no interface 'data7': set netem_interface"),
        ({"links": [link("a", "z", 5)]}, "the inventory has no host 'z' with a data_address; it has a, b, c"),
        ({"links": [link("b", "c", 1, 1)]}, "b -> c: jitter_ms is 1, too large for a normal"),
        ({"links": [link("b", "c", 1, 0, 101)]}, "b -> c: loss_percent is 101: expected a number from 0 to 100"),
        ({"links": [link("b", "c", -1)]}, "b -> c: delay_ms is -1: expected a number from 0 to 10000"),
        ({"links": [link("a", "b", 5), link("a", "b", 6)]}, "a -> b: netem_links names this ordered pair twice"),
        (
            {
                "links": [link("a", "b", 5), link("a", "c", 5)],
                "addresses": {"a": "198.19.128.10", "b": "198.19.128.11", "c": ["198.19.128.12", "198.19.128.0/28"]},
            },
            "a -> c: 198.19.128.0/28 is b's as well",
        ),
        (
            {"addresses": {"a": "198.19.128.10", "b": "2001:db8:6::11"}},
            "a -> b: no two addresses of one family, by which the link could be probed",
        ),
    ],
)
def test_what_cannot_be_applied_is_said_before_anything_is_touched(wires: Wires, options: dict[str, Any], words: str):
    before = wires.tc("a")
    with pytest.raises(ModuleFailedError, match=words):
        wires.links("a", "present", **({"links": [link("a", "b", 5)]} | options))
    assert wires.tc("a") == before


WITHOUT_TC = ["unshare", "--mount", "sh", "-c", 'mount --bind /dev/null "$(command -v tc)" && exec "$@"', "sh"]
READ = f"import ansible; open({str(ROLE / 'library' / 'netem_links.py')!r})"


@pytest.mark.parametrize(
    ("wrapped", "words"),
    [
        (WITHOUT_TC, "there is no tc on the node: install iproute2"),
        (["setpriv", "--bounding-set=-net_admin"], "shaping links needs CAP_NET_ADMIN on the node"),
        (["setpriv", "--reuid=65534", "--clear-groups"], "shaping links needs root on the node"),
    ],
    ids=["no tc", "no capability", "not root"],
)
@pytest.mark.parametrize("check", [False, True], ids=["applied", "verified"])
def test_a_node_that_cannot_be_shaped_says_what_it_lacks(wires: Wires, wrapped: list[str], words: str, check: bool):
    before = wires.tc("a")
    if "--reuid=65534" in wrapped and subprocess.run([*wrapped, sys.executable, "-c", READ], check=False).returncode:
        pytest.skip("nobody may not read this Python or the project's files")
    with pytest.raises(ModuleFailedError, match=words):
        wires.links("a", "present", [link("a", "b", 5)], wrapped=wrapped, check=check)
    assert wires.tc("a") == before


def test_an_emulator_that_does_not_start_is_quoted_as_its_log_goes_with_the_links(wires: Wires):
    wires.run("a", "ip", "tuntap", "add", "dev", "fb-data0", "mode", "tap")  # its TAP's name is taken
    links = [link("a", "b", 10)]
    with pytest.raises(
        ModuleFailedError, match=r"the emulator of data0's links did not take them: .*Device or resource busy\.$"
    ):
        wires.links("a", "present", links)
    assert list((wires.folder / "a").glob("*.log")) != []
    wires.links("a", "absent")
    assert list((wires.folder / "a").glob("data0*")) == []
    wires.run("a", "ip", "link", "del", "fb-data0")
    wires.links("a", "present", links)


def test_a_kernel_without_netem_is_named_where_it_was_asked_for(wires: Wires):
    if not subprocess.run(
        ["unshare", "-n", "tc", *["qdisc", "add", "dev", "lo", "root", "netem"]], check=False, capture_output=True
    ).returncode:
        pytest.skip("this kernel has sch_netem")
    with pytest.raises(ModuleFailedError, match="netem_backend is kernel, but this kernel has no sch_netem"):
        wires.links("a", "probed", [link("a", "b", 5)], backend="kernel")
    result = wires.links("a", "probed", [link("a", "b", 5)])
    assert result["backend"] == "emulator"
    assert result["reason"].startswith("emulator backend: this kernel has no sch_netem")
    assert result["reason"].endswith("which is fine: the targets and the verification are the same")
