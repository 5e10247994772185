"""The kernel backend on a real kernel: a user-mode Linux on this machine's own files has what this one may lack."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import uml
from fidelity import wide
from scipy import stats
from uml_guest import off

if TYPE_CHECKING:
    from wires import Wires

pytestmark = pytest.mark.lab

# Two samples of 4000 of one distribution differ by less than 0.044 999 times in 1000 (1.95 sqrt(2 / 4000)); the guest's
# coarse timers add up to 0.5 ms, which is 0.02 of a sigma of 25 ms and moves a distribution by 0.01.
LARGEST_GAP = 0.055


@pytest.fixture(scope="module")
def seen() -> dict[str, Any]:
    """What the guest saw; it boots once for all tests here and mounts this machine's files read-only."""
    if reason := uml.unusable():
        pytest.skip(reason)
    return uml.boot("look", timeout_s=900)


def lines(dump: str, word: str) -> list[str]:
    return [" ".join(line.split()) for line in dump.splitlines() if line.startswith(word)]


def test_the_kernels_backend_is_chosen_where_it_works(seen: dict[str, Any]):
    assert seen["backend"] == "kernel"


def test_each_destination_has_a_class_with_a_netem_leaf(seen: dict[str, Any]):
    assert lines(seen["shaped"], "qdisc")[1:] == [
        "qdisc netem fb01: parent fb00:1 limit 33750 delay 15ms 3ms loss 0.24%",
        "qdisc netem fb02: parent fb00:2 limit 2813 delay 1.25ms 249us",
    ]
    assert lines(seen["shaped"], "qdisc")[0].startswith("qdisc htb fb00: root refcnt 2 r2q 10 default 0 ")
    assert sum("flowid fb00:1" in line or "flowid fb00:2" in line for line in lines(seen["shaped"], "filter")) == 4


def test_a_second_run_changes_nothing_though_frames_passed(seen: dict[str, Any]):
    assert not seen["again"]
    assert seen["check"]["before"] == "a -> b: 15 ms ± 3 ms, 0.24 % loss\na -> c: 1.25 ms ± 0.25 ms, 0 % loss\n"
    assert seen["check"]["after"].splitlines()[1] == "a -> c: 2.5 ms ± 0.25 ms, 1 % loss, order kept"


def test_the_links_do_what_they_say(seen: dict[str, Any]):
    assert len(seen["verdicts"]) == 3
    assert [off(entry) for entry in seen["verdicts"]] == [None] * 3
    assert all(entry["loss"]["count"] <= 8 for entry in seen["verdicts"])


def test_a_changed_value_changes_its_leaf_and_no_other(seen: dict[str, Any]):
    assert seen["change"]
    before, after = lines(seen["shaped"], "qdisc netem"), lines(seen["changed"], "qdisc netem")
    assert after == [before[0], "qdisc netem fb02: parent fb00:2 limit 4375 delay 2.5ms 249us loss 1% rate 100Gbit"]


def test_all_that_a_link_can_ask_for_is_given_and_taken_back_by_a_change(seen: dict[str, Any]):
    full, plain = (lines(seen[key], "qdisc netem")[0] for key in ("full", "plain"))
    for words in (
        "delay 15ms 3ms",
        "loss gemodel p 1% r 9% 1-h 100% 1-k 0%",
        "duplicate 2%",
        "corrupt 3%",
        "rate 20Mbit",
    ):
        assert words in full
    assert plain == "qdisc netem fb01: parent fb00:1 limit 33750 delay 15ms 3ms"
    assert "seed needs iproute2 6.6" in seen["seed"]


def test_a_link_that_keeps_order_does(seen: dict[str, Any]):
    assert seen["ordered"][0]["reordered"]["count"] == 0


def test_a_link_that_is_another_fails_the_gate(seen: dict[str, Any]):
    assert any(problem.startswith("delay") for problem in seen["lied"][0]["problems"])


def test_management_passes_unshaped_where_it_takes_the_same_interface(seen: dict[str, Any]):
    assert seen["management_ms"]["9"] > 100
    assert seen["management_ms"]["22"] < 50


@pytest.mark.parametrize(
    ("happened", "words"),
    [
        ("gso", "`gso_max_segs 1 data0` is gone and `gso_max_segs 64 data0` is new"),
        ("leaf", "delay 30ms` is new"),
        ("root", "the links were removed from data0 by something other than this role"),
    ],
)
def test_what_was_changed_behind_the_links_back_is_named(seen: dict[str, Any], happened: str, words: str):
    assert words in seen["drift"][happened]


def test_nothing_differs_before_and_after(seen: dict[str, Any]):
    assert seen["drift"]["none"] is seen["drift"]["mended"] is None


def test_the_emulators_delays_are_of_the_same_distribution_as_netems(seen: dict[str, Any], wires: Wires):
    ours = wide(wires, "emulator")
    gaps = {name: stats.ks_2samp(ours[name], theirs).statistic for name, theirs in seen["wide"].items()}
    assert max(gaps.values()) < LARGEST_GAP, gaps
    others = [
        stats.ks_2samp(ours[one], seen["wide"][other]).statistic for one in ours for other in ours if one != other
    ]
    assert min(others) > 2 * LARGEST_GAP


def test_netem_draws_for_one_frame_at_a_time_and_would_for_many_with_gso(seen: dict[str, Any]):
    assert 1000 < seen["largest_draw"] <= 1514
    assert seen["largest_draw_by_gso"] > 1514


def test_removal_leaves_everything_as_it_was(seen: dict[str, Any]):
    assert seen["removed"]
    assert seen["after"] == seen["before"]
    assert not seen["removed_again"]


def test_a_qdisc_that_was_there_before_is_put_back(seen: dict[str, Any]):
    assert "qdisc tbf 5: root" in seen["own_before"]
    assert seen["own_after"] == seen["own_before"]


def test_a_tree_that_could_not_be_put_back_is_refused(seen: dict[str, Any]):
    assert seen["refusal"].startswith("data0 already has a htb with classes of its own")
