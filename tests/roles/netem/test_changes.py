"""Links, nodes and load that change while links are used, at agreed times, and all as before afterwards."""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from patience import wait_for
from processes import children, with_words
from test_lease import in_force
from wires import Wires, link

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.lab

PORT = 32000
# How late a machine may be that does other things, too: whoever measures judges it by what was recorded.
LATEST_NS = 300_000_000
NEAR, FAR = link("a", "b", 1), link("a", "b", 20)
DOWN = link("a", "b", 1, 0, 100)
# What one node sends each millisecond, with the time, another one prints with the time at which it came: one clock.
SENDS = """
import socket, struct, sys, time
socket = socket.socket(type=socket.SOCK_DGRAM)
until_ns = time.monotonic_ns() + int(sys.argv[2]) * 1_000_000
while (now_ns := time.monotonic_ns()) < until_ns:
    socket.sendto(struct.pack("q", now_ns), (sys.argv[1], 9000))
    time.sleep(0.001)
"""
HEARS = """
import socket, struct, sys, time
hearer = socket.socket(type=socket.SOCK_DGRAM)
hearer.bind(("", 9000))
print("ready", flush=True)
hearer.settimeout(float(sys.argv[1]))
try:
    while True:
        sent_ns = struct.unpack("q", hearer.recv(8))[0]
        print(sent_ns, time.monotonic_ns() - sent_ns)
except TimeoutError:
    pass
"""
RELAYS = """
import socket, sys
connection = socket.create_connection((sys.argv[1], int(sys.argv[2])), source_address=(sys.argv[3], 0))
answers = connection.makefile("r")
for line in sys.stdin:
    connection.sendall(line.encode())
    print(answers.readline(), end="", flush=True)
"""


def apply(wires: Wires, links: tuple[dict[str, Any], ...] = (NEAR,), **options: Any) -> None:
    heard = {"changes_from": wires.address("c"), "changes_at": wires.address("a")}
    wires.links("a", "present", links, backend="emulator", lease_s=60, **(heard | options))


@contextmanager
def peer(wires: Wires) -> Iterator[tuple[Callable[..., dict[str, Any]], subprocess.Popen[str]]]:
    """Who may change the links of a: what it asks, and the process by which it does."""
    command = wires.inside("c", sys.executable, "-c", RELAYS, wires.address("a"), str(PORT), wires.address("c"))
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:

        def ask(what: str, **more: Any) -> dict[str, Any]:
            assert process.stdin
            assert process.stdout
            process.stdin.write(json.dumps({"ask": what, **more}) + "\n")
            process.stdin.flush()
            answer: dict[str, Any] = json.loads(process.stdout.readline())
            return answer

        yield ask, process


def change(number: int, entry: dict[str, Any] | None, after_ms: int | None, **more: Any) -> dict[str, Any]:
    return {
        "number": number,
        "links": [] if entry is None else [entry],
        "nodes": [],
        "processes": None,
        "background": [],
        "after_ns": None if after_ms is None else after_ms * 1_000_000,
        **more,
    }


@contextmanager
def delays(wires: Wires, duration_ms: int) -> Iterator[list[tuple[int, float]]]:
    """When each datagram from a to b was sent, and how long it took in ms, once the time is over."""
    found: list[tuple[int, float]] = []
    hears = wires.inside("b", sys.executable, "-c", HEARS, "1")
    sends = wires.inside("a", sys.executable, "-c", SENDS, wires.address("b"), str(duration_ms))
    with subprocess.Popen(hears, stdout=subprocess.PIPE, text=True) as hearer:
        assert hearer.stdout
        assert hearer.stdout.readline() == "ready\n"
        with subprocess.Popen(sends) as sender:
            yield found
            assert sender.wait() == 0
        found += [(int(sent), int(took) / 1e6) for sent, took in map(str.split, hearer.stdout)]


def values(wires: Wires) -> list[float]:
    """The delays that the emulator of a has been told, in ms."""
    told = json.loads((wires.folder / "a" / "data0.emulator.json").read_text())
    return [one["delay_ns"] / 1e6 for one in told["links"]]


def test_frames_are_delayed_by_the_new_values_from_the_recorded_time_on(wires: Wires) -> None:
    apply(wires)
    before = in_force(wires)
    with peer(wires) as (ask, _):
        assert ask("prepare", changes=[change(0, FAR, 700), change(1, NEAR, 1400)]) == {}
        with delays(wires, 2000) as found:
            begin_ns = ask("clock")["now_ns"] + 50_000_000
            assert ask("begin", at_ns=begin_ns) == {}
        made = {one["number"]: one["at_ns"] for one in ask("end")["made"]}
    for number, after_ms in ((0, 700), (1, 1400)):
        assert 0 <= made[number] - begin_ns - after_ms * 1_000_000 <= LATEST_NS
    # Between telling the time and sending, a sender may be kept waiting.
    far = [took for sent, took in found if made[0] < sent and sent + took * 1e6 < made[1]]
    near = [took for sent, took in found if sent + took * 1e6 < made[0] or made[1] + 40_000_000 < sent]
    assert min(far) > 19.9
    assert statistics.median(far) < 25
    assert min(near) > 0.9
    assert statistics.median(near) < 5
    assert in_force(wires) == before


def test_a_link_goes_down_and_up_again(wires: Wires) -> None:
    apply(wires)
    with peer(wires) as (ask, _):
        assert ask("prepare", changes=[change(0, DOWN, 500), change(1, NEAR, 1000)]) == {}
        with delays(wires, 1500) as found:
            assert ask("begin", at_ns=time.monotonic_ns()) == {}
        down_ns, up_ns = (one["at_ns"] for one in ask("end")["made"])
    assert not [sent for sent, took in found if down_ns < sent and sent + took * 1e6 < up_ns]
    assert [sent for sent, _ in found if sent < down_ns]
    assert [sent for sent, _ in found if sent > up_ns]


def test_a_change_that_is_due_at_once_holds_until_the_end(wires: Wires) -> None:
    apply(wires)
    before = in_force(wires)
    with peer(wires) as (ask, _):
        assert ask("prepare", changes=[change(3, FAR, None)]) == {}
        assert values(wires) == [20]
        assert in_force(wires) == before, "a planned change is no other link"
        assert [one["number"] for one in ask("end")["made"]] == [3]
        assert values(wires) == [1]
    assert in_force(wires) == before


def test_the_first_values_return_where_who_changed_them_is_killed(wires: Wires) -> None:
    apply(wires)
    before = in_force(wires)
    with peer(wires) as (ask, process):
        ask("prepare", changes=[change(0, FAR, None), change(1, DOWN, 60_000)])
        ask("begin", at_ns=time.monotonic_ns())
        assert values(wires) == [20]
        process.send_signal(signal.SIGKILL)
        wait_for(lambda: values(wires) == [1])
    wait_for(lambda: not (wires.folder / "a" / "data0.first").exists())
    assert in_force(wires) == before
    with peer(wires) as (ask, _):
        assert "now_ns" in ask("clock"), "the next one is heard"


def test_what_else_changed_meanwhile_is_found(wires: Wires) -> None:
    apply(wires)
    with peer(wires) as (ask, _):
        ask("prepare", changes=[change(0, FAR, None)])
        wires.run("a", "tc", "filter", "del", "dev", "data0", "egress", "protocol", "ip", "pref", "64002")
        assert "tc lists something else than was applied" in ask("prepare", changes=[change(0, NEAR, None)])["error"]
        ask("end")
    assert "tc lists something else than was applied" in str(in_force(wires)["problem"])


def test_a_process_that_was_killed_leaves_links_that_are_told_and_applied_again(wires: Wires) -> None:
    apply(wires)
    before = in_force(wires)
    with peer(wires) as (ask, _):
        ask("prepare", changes=[change(0, FAR, None)])
        os.kill(_changer(wires.folder / "a"), signal.SIGKILL)
        wait_for(lambda: in_force(wires)["problem"] is not None)
    told = in_force(wires)
    assert told["problem"] == "the process that changes the links of data0 has ended and left some changed"
    apply(wires)
    assert values(wires) == [1]
    assert in_force(wires)["problem"] is None
    assert in_force(wires)["links"] == before["links"]


def test_links_that_are_cleared_meanwhile_stay_cleared(wires: Wires) -> None:
    before = wires.tc("a")
    apply(wires)
    with peer(wires) as (ask, _):
        ask("prepare", changes=[change(0, FAR, None)])
        wires.links("a", "absent")
    assert wires.tc("a") == before
    assert list((wires.folder / "a").iterdir()) == []


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        (link("a", "c", 1), "no link to c is in force on data0, so it cannot be changed"),
        (link("a", "b", -1), "a -> b: delay_ms is -1"),
    ],
)
def test_what_no_link_can_have_is_refused_before_anything_is_changed(
    wires: Wires, entry: dict[str, Any], sentence: str
) -> None:
    apply(wires)
    with peer(wires) as (ask, _):
        assert sentence in ask("prepare", changes=[change(0, FAR, None), change(1, entry, 100)])["error"]
    assert values(wires) == [1]


def drained(node: str, *, is_drained: bool) -> dict[str, Any]:
    return {"nodes": [{"node": node, "is_drained": is_drained}]}


def leaves(wires: Wires) -> Path:
    """What has nodes leave and join, and writes down which did; its words are in a file beside it."""
    command = wires.folder / "node"
    command.write_text(f'#!/bin/sh\necho "$1 $2" >>{wires.folder}/words\n', "utf-8")
    command.chmod(0o755)
    return command


def words(wires: Wires) -> list[str]:
    said = wires.folder / "words"
    return said.read_text("utf-8").splitlines() if said.exists() else []


def test_a_node_leaves_and_joins_and_both_times_are_told(wires: Wires) -> None:
    apply(wires, changes_command=str(leaves(wires)))
    with peer(wires) as (ask, _):
        changes = [
            change(0, None, 300, **drained("n", is_drained=True)),
            change(1, FAR, 900, **drained("n", is_drained=False)),
        ]
        assert ask("prepare", changes=changes) == {}
        begin_ns = time.monotonic_ns()
        ask("begin", at_ns=begin_ns)
        wait_for(lambda: words(wires) == ["leave n", "join n"])
        made = {(one["number"], one["of"]): one["at_ns"] - begin_ns for one in ask("end")["made"]}
    assert set(made) == {(0, "n"), (1, "its links"), (1, "n")}
    assert 300_000_000 < made[0, "n"] < 900_000_000
    assert 900_000_000 < made[1, "its links"] < made[1, "n"]
    assert words(wires) == ["leave n", "join n"], "it is there already"


def test_a_node_that_is_away_joins_where_who_had_it_leave_is_killed(wires: Wires) -> None:
    apply(wires, changes_command=str(leaves(wires)))
    with peer(wires) as (ask, process):
        ask("prepare", changes=[change(0, None, None, **drained("n", is_drained=True))])
        wait_for(lambda: words(wires) == ["leave n"])
        process.send_signal(signal.SIGKILL)
        wait_for(lambda: words(wires) == ["leave n", "join n"])


def test_a_node_that_cannot_leave_is_told(wires: Wires) -> None:
    apply(wires, changes_command="/nowhere/node")
    with peer(wires) as (ask, _):
        ask("prepare", changes=[change(0, None, None, **drained("n", is_drained=True))])
        assert "n cannot leave: [Errno 2] No such file or directory" in ask("end")["error"]
        assert ask("prepare", changes=[]) == {}, "the next repetition may be measured"


def test_processes_compute_until_the_end(wires: Wires) -> None:
    apply(wires)
    changer = _changer(wires.folder / "a")

    def computing() -> int:
        return len(children(changer))

    with peer(wires) as (ask, _):
        ask("prepare", changes=[change(0, None, None, processes=2), change(1, None, 60_000, processes=0)])
        assert computing() == 2
        assert [one["of"] for one in ask("end")["made"]] == ["its load"]
        assert computing() == 0
        ask("prepare", changes=[change(0, None, None, processes=1)])
        assert computing() == 1
    wait_for(lambda: computing() == 0)


COUNTS = """
import socket, sys, time
hearer = socket.socket(type=socket.SOCK_DGRAM)
hearer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
hearer.bind(("", 9))
print("ready", flush=True)
hearer.settimeout(float(sys.argv[1]))
try:
    while True:
        size = len(hearer.recv(2000)) + 28
        print(time.monotonic_ns(), size)
except TimeoutError:
    pass
"""


def sends(rate: float) -> dict[str, Any]:
    return {"background": [{"target": "b", "mbit_per_s": rate}]}


def test_so_much_is_sent_over_a_link_beside_what_is_measured(wires: Wires) -> None:
    apply(wires)
    with subprocess.Popen(
        wires.inside("b", sys.executable, "-c", COUNTS, "3"), stdout=subprocess.PIPE, text=True
    ) as hearer:
        assert hearer.stdout
        assert hearer.stdout.readline() == "ready\n"
        with peer(wires) as (ask, _):
            changes = [
                change(0, None, 700, **sends(8)),
                change(1, None, 1700, **sends(16)),
                change(2, None, 2700, **sends(0)),
            ]
            assert ask("prepare", changes=changes) == {}
            begin_ns = time.monotonic_ns()
            ask("begin", at_ns=begin_ns)
            wait_for(lambda: time.monotonic_ns() > begin_ns + 3_000_000_000)
            made = ask("end")["made"]
        heard = [tuple(map(int, line.split())) for line in hearer.stdout]
    assert [(one["number"], one["of"]) for one in made] == [(number, "sends to b") for number in range(3)]
    at_ns = [one["at_ns"] for one in made]
    for number, after_ms in enumerate((700, 1700, 2700)):
        assert 0 <= at_ns[number] - begin_ns - after_ms * 1_000_000 <= LATEST_NS

    def mbit_per_s(since_ns: int, until_ns: int) -> float:
        return sum(size for came_ns, size in heard if since_ns < came_ns < until_ns) * 8000 / (until_ns - since_ns)

    margin_ns = 100_000_000
    assert mbit_per_s(at_ns[0] + margin_ns, at_ns[1] - margin_ns) == pytest.approx(8, rel=0.2)
    assert mbit_per_s(at_ns[1] + margin_ns, at_ns[2] - margin_ns) == pytest.approx(16, rel=0.2)
    assert not [came_ns for came_ns, _ in heard if came_ns > at_ns[2] + margin_ns]


def test_nothing_is_sent_where_there_is_no_link_or_nobody_to_tell_it(wires: Wires) -> None:
    apply(wires)
    changer = _changer(wires.folder / "a")
    with peer(wires) as (ask, _):
        nowhere = {"background": [{"target": "c", "mbit_per_s": 1}]}
        assert "no link to c is in force on data0" in ask("prepare", changes=[change(0, None, 5, **nowhere)])["error"]
        ask("prepare", changes=[change(0, None, None, **sends(1))])
        assert len(children(changer)) == 1
    wait_for(lambda: not children(changer))


def test_nobody_else_is_heard(wires: Wires) -> None:
    apply(wires, changes_from=wires.address("b"))
    command = wires.inside("c", sys.executable, "-c", RELAYS, wires.address("a"), str(PORT), wires.address("c"))
    told = subprocess.run(command, input='{"ask": "clock"}\n', capture_output=True, text=True, check=False)
    assert told.stdout == ""


def _changer(folder: Path) -> int:
    (found,) = with_words(b"netem.changes", os.fsencode(folder))
    return found
