"""A link is checked at the door, and says the same to a person, to tc and to the emulator."""

from __future__ import annotations

import re
from typing import Any

import pytest
from ansible.module_utils.link import Link, LinkError, read_links
from hypothesis import given
from hypothesis import strategies as st

EDGE = Link("bs", "edge-1", 1.25, 0.25, 0.02)
HOSTS = ["bs", "edge-1", "edge-2", "cloud-1"]


def refusal(**values: Any) -> str:
    with pytest.raises(LinkError) as error:
        Link.from_mapping({"source": "bs", "target": "edge-1", "delay_ms": 1} | values)
    return str(error.value)


def test_a_link_prints_as_a_person_would_say_it():
    assert str(EDGE) == "bs -> edge-1: 1.25 ms ± 0.25 ms, 0.02 % loss"
    assert str(Link("bs", "edge-1", 5, reorder=False, rate_mbit=20, seed=3)) == (
        "bs -> edge-1: 5 ms, 0 % loss, 20 Mbit/s, order kept, seed 3"
    )


def test_a_link_with_too_much_jitter_is_refused_by_name():
    assert refusal(jitter_ms=0.3) == (
        "bs -> edge-1: jitter_ms is 0.3, more than a quarter of delay_ms (1): draws below zero would shift the mean. "
        "Set it to at most 0.25."
    )


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"delay_ms": -1}, "delay_ms is -1, but must not be negative"),
        ({"delay_ms": "2"}, "delay_ms is '2', but has to be a number"),
        ({"delay_ms": float("nan")}, "delay_ms is nan, but has to be a number"),
        ({"delay_ms": True}, "delay_ms is True, but has to be a number"),
        ({"delay_ms": None}, "delay_ms is missing"),
        ({"loss_percent": 101}, "loss_percent is 101, more than 100"),
        ({"loss_percent": -0.1}, "loss_percent is -0.1, but must not be negative"),
        ({"rate_mbit": 0}, "rate_mbit is 0: nothing would pass"),
        ({"target": "bs"}, "a link joins two different nodes"),
        ({"jiter_ms": 1}, "a link has no 'jiter_ms'; it has delay_ms, jitter_ms"),
    ],
)
def test_a_value_that_cannot_be_is_refused_by_name(values: dict[str, Any], words: str):
    assert words in refusal(**values)


def test_links_are_checked_against_the_inventory_and_each_other():
    one = {"source": "bs", "target": "edge-1", "delay_ms": 1}
    with pytest.raises(LinkError, match="the inventory has no host 'edge-3' with a data_address; it has bs, cloud-1"):
        read_links([one | {"target": "edge-3"}], HOSTS)
    with pytest.raises(LinkError, match="bs -> edge-1: netem_links names this ordered pair twice"):
        read_links([one, one], HOSTS)
    assert len(read_links([one, {"source": "edge-1", "target": "bs", "delay_ms": 1}], HOSTS)) == 2


def test_table_i_in_the_words_of_tc():
    assert " ".join(EDGE.tc_netem()) == "netem limit 2813 delay 1.25ms 0.25ms distribution normal loss 0.02%"
    cloud = Link("bs", "cloud-1", 15, 3, 0.24)
    assert " ".join(cloud.tc_netem()) == "netem limit 33750 delay 15ms 3ms distribution normal loss 0.24%"
    assert " ".join(cloud.tc_class()) == "htb rate 100000mbit burst 1250000 cburst 1250000 quantum 60000"


def test_a_delay_alone_names_no_distribution_and_no_loss():
    assert " ".join(Link("a", "b", 50).tc_netem()) == "netem limit 62500 delay 50ms"


def test_order_is_kept_by_a_rate_of_netems_own():
    assert Link("a", "b", 5, reorder=False).tc_netem()[-2:] == ["rate", "100000mbit"]
    slow = Link("a", "b", 5, rate_mbit=20, reorder=False)
    assert slow.tc_netem()[-2:] == ["rate", "20mbit"]
    assert slow.tc_class()[2] == "100000mbit"


def test_a_rate_that_lets_frames_overtake_is_kept_by_the_class():
    slow = Link("a", "b", 5, 1, rate_mbit=20)
    assert "rate" not in slow.tc_netem()
    assert " ".join(slow.tc_class()) == "htb rate 20mbit burst 3200 cburst 3200 quantum 60000"


def test_a_seed_is_given_only_to_a_tc_that_knows_it():
    seeded = Link("a", "b", 5, seed=7)
    assert "seed" not in seeded.tc_netem()
    assert seeded.tc_netem(seeds=True)[-2:] == ["seed", "7"]


def test_the_emulator_gets_the_same_link():
    assert EDGE.emulator("data0") == {
        "source": "bs", "target": "edge-1", "delay_ms": 1.25, "jitter_ms": 0.25, "loss_percent": 0.02,
        "rate_mbit": None, "reorder": True, "seed": None,
        "interface": "data0", "tap": "fb-edge-1", "limit_packets": 2813,
    }  # fmt: skip


@given(st.text(min_size=1))
def test_every_target_has_a_name_that_an_interface_can_have(target: str):
    tap = Link("a source of its own", target, 1).tap
    assert re.fullmatch(r"fb-[A-Za-z0-9_.-]{1,12}", tap)


@given(st.floats(0, 500), st.floats(0, 0.25), st.none() | st.floats(0.1, 9000))
def test_the_queue_holds_what_the_link_holds(delay_ms: float, share: float, rate_mbit: float | None):
    link = Link("a", "b", delay_ms, delay_ms * share, rate_mbit=rate_mbit)
    on_the_way = (rate_mbit or 10_000) * 1e6 / 8 / 1500 * (delay_ms + 4 * link.jitter_ms) / 1000
    assert link.limit_packets >= max(1000, 1.49 * on_the_way)


@given(
    st.fixed_dictionaries(
        {
            "delay_ms": st.floats(0, 1e4),
            "loss_percent": st.floats(0, 100),
            "reorder": st.booleans(),
            "rate_mbit": st.none() | st.floats(0.1, 1e5),
            "seed": st.none() | st.integers(0, 2**31),
        }
    )
)
def test_a_link_that_is_read_is_the_link_that_was_written(values: dict[str, Any]):
    read = Link.from_mapping({"source": "a", "target": "b"} | values)
    assert {key: getattr(read, key) for key in values} == values
