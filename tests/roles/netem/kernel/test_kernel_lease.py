"""Links of the kernel's backend stay while a controller renews them, and clear themselves when it was killed."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from ansible.module_utils.netem.baseline import Baseline
from patience import wait_for
from wires import Wires, call, link

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.lab, pytest.mark.long]

LINKS = [link("a", "b", 5, 1), link("a", "c", 2)]
LEASE_S = 6
# What `tc` is to a controller that is killed in the middle of its work: the links' leaves are the last that it hears of.
DEADLY_TC = """#!/bin/sh
[ "$1" = -batch ] || exec {tc} "$@"
commands=$(cat)
printf '%s\\n' "$commands" | {tc} "$@"
case $commands in *"dev data0"*netem*) kill -KILL $PPID ;; esac
"""


@pytest.fixture
def wires(network: Wires, tmp_path: Path) -> Iterator[Wires]:
    """The nodes as they are before any link, knowing nothing but what node a's paths do by themselves."""
    wires = replace(network, folder=tmp_path)
    (tmp_path / "a").mkdir()
    Baseline({}).write(tmp_path / "a")
    yield wires
    wires.links("a", "absent")


@contextmanager
def controller(wires: Wires) -> Iterator[None]:
    """A process that shapes node a's links and renews their lease, until it is killed."""
    process = os.fork()
    if process == 0:
        try:
            os.setsid()
            wires.links("a", "present", LINKS, backend="kernel", lease_s=LEASE_S)
            while True:
                wires.links("a", "renewed")
        finally:
            os._exit(1)
    try:
        wait_for((wires.folder / "a" / "data0.lease").exists)
        wait_for(lambda: wires.tc("a").count("netem") == len(LINKS))
        yield
    finally:
        os.killpg(process, signal.SIGKILL)
        os.waitpid(process, 0)


def uncounted(dump: str) -> str:
    """A dump without what HTB has counted: a frame to nobody's link, such as one of IPv6's own, passes at any time."""
    return re.sub(r"direct_packets_stat \d+", "", dump)


def assert_cleared(wires: Wires, before: str) -> None:
    """Wait until nothing runs on node a, which has to be as it was and to know why."""
    wait_for(lambda: not call("ip", "netns", "pids", f"{wires.prefix}-a"))
    assert wires.tc("a") == before
    left = sorted(path.name for path in (wires.folder / "a").iterdir())
    assert left == ["baseline.json", "code", "data0.lapsed", "data0.watch", "tables"]
    coming = wires.links("a", "present", LINKS, backend="kernel", check=True)
    assert f"it was not renewed for {LEASE_S} s" in coming["drift"]


def test_links_that_are_renewed_stay_longer_than_their_lease(wires: Wires):
    with controller(wires):
        shaped = wires.tc("a")
        assert shaped.count("qdisc netem") == 2
        until_s = json.loads((wires.folder / "a" / "data0.lease").read_text())["until_s"]
        wait_for(lambda: time.clock_gettime(time.CLOCK_BOOTTIME) > until_s + 1)
        assert uncounted(wires.tc("a")) == uncounted(shaped)


def test_links_whose_controller_was_killed_clear_themselves_and_the_node_is_as_it_was(wires: Wires):
    before = wires.tc("a")
    assert "qdisc netem" not in before
    with controller(wires):
        shaped = wires.tc("a")
    assert shaped.count("qdisc netem") == 2
    assert uncounted(wires.tc("a")) == uncounted(shaped), "nothing is cleared before the lease has expired"
    assert_cleared(wires, before)


def test_links_whose_controller_was_killed_half_way_clear_themselves_and_the_node_is_as_it_was(
    wires: Wires, tmp_path: Path
):
    deadly = tmp_path / "deadly" / "tc"
    deadly.parent.mkdir()
    deadly.write_text(DEADLY_TC.format(tc=shutil.which("tc")))
    deadly.chmod(0o755)
    path = f"PATH={deadly.parent}:{os.environ['PATH']}"
    before = wires.tc("a")
    with pytest.raises(json.JSONDecodeError):  # it was killed before it printed its result
        wires.links("a", "present", LINKS, backend="kernel", lease_s=LEASE_S, wrapped=["env", path])
    half_way = wires.tc("a")
    assert half_way.count("qdisc netem") == 1
    assert "qdisc htb fb00: root" in half_way
    assert_cleared(wires, before)
