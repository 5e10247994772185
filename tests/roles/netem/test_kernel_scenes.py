"""The kernel's backend where things are wrong, in a user-mode Linux: links, input, the controller; and IPv6."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest
import uml

pytestmark = [pytest.mark.lab, pytest.mark.long]

# By how much the gate is wider where a kernel's timers are late, as the guest's are on a busy machine.
TIMERS = r"( \(\+ [\d.]+ by timers\))?"
SAID = rf"(delay|jitter) ([\d.]+) ms, expected ([\d.]+) ± 0\.\d+{TIMERS} ms"


def told(entry: dict[str, Any], what: str) -> float:
    """Return how many ms of delay or jitter a wrong link was said to have, beside what its path has by itself."""
    said = [found for problem in entry["problems"] if (found := re.fullmatch(SAID, problem)) and found[1] == what]
    assert len(said) == 1, entry["problems"]
    asked_ms, alone_ms = {
        "delay": (15, entry["path"]["control"]["median_ms"]), "jitter": (3, entry["path"]["control"]["sigma_ms"])
    }[what]  # fmt: skip
    expected_ms = asked_ms + alone_ms if what == "delay" else math.hypot(asked_ms, alone_ms)
    assert float(said[0][3]) == pytest.approx(expected_ms, abs=0.01)
    return float(said[0][2]) - float(alone_ms)


@pytest.fixture(scope="module")
def seen() -> dict[str, Any]:
    """What the guest saw; it boots once for all tests here and mounts this machine's files read-only."""
    if reason := uml.unusable():
        pytest.skip(reason)
    return uml.boot("scenes", timeout_s=1200)


def test_a_right_link_passes_the_gate(seen: dict[str, Any]):
    assert [entry["problems"] for entry in seen["wrong"]["right"]] == [[], []]


@pytest.mark.parametrize(
    ("shaped", "what", "from_ms", "to_ms"),
    [("double", "delay", 29, 31), ("steady", "jitter", -1, 1), ("one way", "delay", -1, 1)],
    ids=["double delay", "lost jitter", "one direction only"],
)
def test_a_wrong_link_fails_the_gate_with_the_numbers_and_the_right_one_beside_it_passes(
    seen: dict[str, Any], shaped: str, what: str, from_ms: float, to_ms: float
):
    there, back = seen["wrong"][shaped]
    assert (there["link"]["source"], there["ok"], back["link"]["source"], back["ok"]) == ("a", False, "b", True), back[
        "problems"
    ]
    assert from_ms < told(there, what) < to_ms


def test_a_direction_that_was_never_applied_is_no_difference_to_what_was_but_a_change_to_come(seen: dict[str, Any]):
    assert seen["wrong"]["one way, applied"] == {"before": "", "after": "a -> b: 15 ms ± 3 ms, 0.24 % loss\n"}


def test_links_of_nodes_with_ipv6_only_are_what_was_asked_for(seen: dict[str, Any]):
    there, back = seen["families"]["IPv6"]
    assert (there["link"]["source"], there["family"], there["problems"]) == ("a", 6, [])
    assert (back["link"]["source"], back["family"], back["problems"]) == ("b", 6, [])
    beside = seen["families"]["IPv4 beside it"][0]
    assert beside["delay"]["median_ms"] < beside["path"]["control"]["median_ms"] + 1


def test_links_of_nodes_with_both_kinds_of_address_are_shaped_and_judged_by_each(seen: dict[str, Any]):
    found = [(entry["link"]["source"], entry["family"], entry["problems"]) for entry in seen["families"]["both"]]
    assert found == [("a", 4, []), ("a", 6, []), ("b", 4, []), ("b", 6, [])]
    assert not seen["families"]["again"]


def test_a_link_that_is_shaped_for_one_kind_of_address_only_fails_by_the_other(seen: dict[str, Any]):
    there, there6, back, back6 = seen["families"]["IPv4 left"]
    assert (there["family"], there["ok"], back["ok"], back6["ok"]) == (4, True, True, True)
    assert (there6["family"], there6["ok"]) == (6, False)
    assert -1 < told(there6, "delay") < 1


def uncounted(dump: str) -> str:
    """A dump without what HTB has counted: a frame to nobody's link, such as one of IPv6's own, passes at any time."""
    return re.sub(r"direct_packets_stat \d+", "", dump)


def test_links_that_are_renewed_stay_longer_than_their_lease(seen: dict[str, Any]):
    assert seen["lease"]["shaped"].count("qdisc netem") == 2
    assert uncounted(seen["lease"]["renewed"]) == uncounted(seen["lease"]["shaped"])


@pytest.mark.parametrize("happens", ["killed", "killed half-way"])
def test_links_without_a_controller_clear_themselves_and_the_node_is_as_it_was(seen: dict[str, Any], happens: str):
    found = seen["lease"][happens]
    assert found["after"] == seen["lease"]["before"]
    assert "qdisc netem" not in found["after"]
    assert "it was not renewed for 6 s" in found["said"]
    assert found["left"] == ["baseline.json", "code", "data0.lapsed", "data0.watch", "tables"]


def test_the_controller_was_killed_while_its_links_were_in_force_or_half_way_there(seen: dict[str, Any]):
    assert uncounted(seen["lease"]["killed"]["shaped"]) == uncounted(seen["lease"]["shaped"])
    half_way = seen["lease"]["killed half-way"]["shaped"]
    assert half_way.count("qdisc netem") == 1
    assert "qdisc htb fb00: root" in half_way


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("interface", "there is no interface 'data7': set netem_interface"),
        ("host", "a -> z: the inventory has no host 'z' with a data_address; it has a, b, c"),
        ("pair", "a -> b: netem_links names this ordered pair twice. Keep one of them."),
        ("address", "a -> c: 198.19.128.11/32 is b's as well"),
        ("loss", "a -> b: loss_percent is 101: expected a number from 0 to 100."),
        ("negative", "a -> b: delay_ms is -5: expected a number from 0 to 10000."),
        ("jitter", "a -> b: jitter_ms is 1.5, too large for a normal distribution at this delay_ms (5)"),
        ("tc", "there is no tc on the node: install iproute2."),
        ("capability", "shaping links needs CAP_NET_ADMIN on the node"),
        ("family", "a -> b: no two addresses of one family, by which the link could be probed"),
    ],
)
def test_bad_input_is_refused_in_words(seen: dict[str, Any], asked: str, words: str):
    assert seen["refused"]["said"][asked].startswith(words)


def test_nothing_is_touched_where_links_are_refused(seen: dict[str, Any]):
    assert seen["refused"]["after"] == seen["refused"]["before"]
    assert not seen["refused"]["left"]


@pytest.mark.parametrize(
    ("missing", "words"),
    [
        ("netem", "netem_backend is kernel, but this kernel has no sch_netem ("),
        ("either", "netem_backend is auto, but this kernel has no sch_netem ("),
        ("htb", "netem_backend is kernel, but this kernel has no sch_htb ("),
        ("u32", "netem_backend is kernel, but this kernel has no cls_u32 ("),
    ],
)
def test_a_kernel_that_lacks_a_part_is_named_before_anything_is_touched(seen: dict[str, Any], missing: str, words: str):
    said = seen["lacking"]["said"][missing]
    assert said.startswith(words)
    assert "Load or install what is missing (Debian's kernels have it)" in said
    assert ("/dev/net/tun cannot be opened" in said) == (missing == "either")
    assert seen["lacking"]["after"] == seen["lacking"]["before"]


def test_pods_behind_vxlan_are_shaped_with_their_hosts_and_each_frame_by_a_draw_of_its_own(seen: dict[str, Any]):
    assert seen["pods"]["applied"] == {"a": True, "b": True}
    assert 800 < seen["pods"]["vxlan_ms"] < 1200  # two ways of 400 ms, not three
    assert 1000 < seen["pods"]["draw"] <= 1514


def test_pods_behind_a_route_to_their_host_are_its_own_and_a_new_route_is_a_change_to_come(seen: dict[str, Any]):
    found = seen["pods"]
    assert found["unnoticed_ms"] < 400
    assert found["new route"] == {
        "before": "a -> b: 400 ms, 0 % loss\n",
        "after": "a -> b: 400 ms, 0 % loss, also to 10.43.2.0/24 behind it\n",
    }
    assert found["again"] == [{"a": True, "b": True}, {"a": False, "b": False}]
    assert 800 < found["host-gw_ms"] < 1200


def test_pods_interfaces_are_left_as_they_were(seen: dict[str, Any]):
    assert "flannel.1" in seen["pods"]["before"]["a"]
    assert seen["pods"]["after"] == seen["pods"]["before"]


def test_what_the_path_takes_is_a_part_of_the_delay_where_that_was_asked_for(seen: dict[str, Any]):
    found = seen["compensated"]
    assert re.fullmatch(r"b -> a: 6 ms ± 0.5 ms, 0 % loss, of which the path takes 2\.\d+ ms\n", found["diff"]["after"])
    assert not found["again"]
    assert [(one["problems"], 2 < one["path"]["compensated_ms"] < 3) for one in found["verdicts"]] == [([], True)] * 2


def test_a_path_that_leaves_too_little_of_a_link_or_is_unknown_is_refused(seen: dict[str, Any]):
    found = seen["compensated"]
    assert re.match(r"a -> b: the path alone takes 2\.\d+ ms of delay_ms \(1\.5\), and the rest is too", found["short"])
    assert found["unknown"].startswith("what the path to c takes by itself is not known")
