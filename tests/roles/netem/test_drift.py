"""A node that is no longer as its links were applied is noticed, named and mended."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from wires import ModuleFailedError, Wires, call, link

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.lab

LINKS = [link("a", "b", 5, 1), link("a", "c", 2)]


def record(wires: Wires, **values: Any) -> None:
    path = wires.folder / "a" / "data0.state"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def end_emulators(wires: Wires) -> None:
    for target in ("b", "c"):
        status = json.loads((wires.folder / "a" / f"data0-{target}.status").read_text())
        wires.run("a", "kill", "-KILL", str(status["pid"]))
    deadline = time.monotonic() + 10
    while call("ip", "netns", "pids", f"{wires.prefix}-a") and time.monotonic() < deadline:
        time.sleep(0.01)


def restart(wires: Wires) -> None:
    """Leave of a node what a restart leaves: its disk."""
    end_emulators(wires)
    wires.run("a", "tc", "qdisc", "del", "dev", "data0", "clsact")
    record(wires, boot="another\n")


def flap(wires: Wires) -> None:
    for state in ("down", "up"):
        wires.run("wires", "ip", "link", "set", "p-a", state)


def shrink(wires: Wires) -> None:
    wires.run("a", "ip", "link", "set", "data0", "mtu", "1400")


def lose_a_filter(wires: Wires) -> None:
    wires.run("a", "tc", "filter", "del", "dev", "data0", "egress", "protocol", "ip", "pref", "64002")


def gain_a_filter(wires: Wires) -> None:
    words = "protocol ip pref 7 u32 match ip dst 192.0.2.1/32 action mirred egress redirect dev lo"
    wires.run("a", "tc", "filter", "add", "dev", "data0", "egress", *words.split())


def lose_everything(wires: Wires) -> None:
    end_emulators(wires)
    wires.run("a", "tc", "qdisc", "del", "dev", "data0", "clsact")


@pytest.mark.parametrize(
    ("happens", "words"),
    [
        (restart, "the node restarted after its links were applied, and they are gone"),
        (flap, "data0 lost or found its carrier 2 times since the links were applied"),
        (shrink, "the MTU of data0 changed from 1500 to 1400 since the links were applied"),
        (lose_a_filter, "tc lists something else than was applied: `filter protocol ip pref 64002"),
        (gain_a_filter, "` is new"),
        (lose_everything, "the links were removed from data0 by something other than this role"),
        (lambda wires: record(wires, schema=1), "another version of this role applied the links"),
    ],
    ids=["restart", "flap", "mtu", "filter gone", "filter new", "removed", "other version"],
)
def test_a_node_that_differs_from_what_was_applied_is_named_and_mended(
    wires: Wires, happens: Callable[[Wires], None], words: str
):
    wires.links("a", "present", LINKS, backend="emulator")
    assert wires.links("a", "present", LINKS, backend="emulator", check=True)["drift"] is None
    happens(wires)
    seen = wires.links("a", "present", LINKS, backend="emulator", check=True)
    assert words in seen["drift"]
    assert seen["changed"]
    mended = wires.links("a", "present", LINKS, backend="emulator")
    assert mended["changed"]
    again = wires.links("a", "present", LINKS, backend="emulator", check=True)
    assert (again["changed"], again["drift"]) == (False, None)
    assert wires.verdicts(LINKS, probes=200, patience_s=0)[0]["delay"]["median_ms"] == pytest.approx(5, abs=0.5)


def test_frames_that_pass_are_no_difference(wires: Wires):
    wires.links("a", "present", LINKS, backend="emulator")
    wires.verdicts(LINKS, probes=200, patience_s=0)
    assert wires.links("a", "present", LINKS, backend="emulator", check=True)["drift"] is None


def test_an_interface_that_is_gone_is_named(wires: Wires):
    wires.links("a", "present", LINKS, backend="emulator")
    wires.run("wires", "ip", "link", "del", "p-a")
    with pytest.raises(ModuleFailedError, match="there is no interface 'data0'"):
        wires.links("a", "present", LINKS, backend="emulator", check=True)
    assert wires.links("a", "absent")["changed"]
    assert call("ip", "netns", "pids", f"{wires.prefix}-a") == "", "its emulators end with the links"
    assert list((wires.folder / "a").iterdir()) == []


def test_a_node_that_has_lost_all_it_knew_does_not_pass_a_renewal(wires: Wires):
    """A container that was started again has neither links nor files, and its machine's boot id."""
    assert wires.links("a", "renewed")["drift"] is None, "a node without links of its own has none to renew"
    assert wires.links("a", "renewed", LINKS)["drift"] == "no links are in force on data0"


def test_probes_that_nobody_answers_before_a_link_is_shaped_are_an_error(wires: Wires):
    (wires.folder / "a").mkdir(exist_ok=True)
    with pytest.raises(ModuleFailedError, match=r"a -> b: none of 5 probes was answered by \S+ on 31999/udp"):
        wires.probes("a", "baseline", [LINKS[0]], probes=5)
