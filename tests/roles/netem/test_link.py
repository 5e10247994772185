"""A link is checked at the door, and says the same to a person, to tc and to the emulator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.netem.emulator import Emulator
from ansible.module_utils.netem.link import Link, LinkError, read_links
from ansible.module_utils.netem.properties import Limit
from ansible.module_utils.netem.tables import table
from hypothesis import given
from hypothesis import strategies as st

EDGE = Link.between("bs", "edge-1", delay_ms=1.25, jitter_ms=0.25, loss_percent=0.02)
HOSTS = ["bs", "edge-1", "edge-2", "cloud-1"]


def refusal(**values: Any) -> str:
    with pytest.raises(LinkError) as error:
        Link.from_mapping({"source": "bs", "target": "edge-1", "delay_ms": 1} | values)
    return str(error.value)


def test_a_link_prints_as_a_person_would_say_it():
    assert str(EDGE) == "bs -> edge-1: 1.25 ms ± 0.25 ms, 0.02 % loss"
    assert str(Link.between("bs", "edge-1", delay_ms=5, reorder=False, rate_mbit=20, seed=3)) == (
        "bs -> edge-1: 5 ms, 0 % loss, 20 Mbit/s, order kept, seed 3"
    )


def test_a_link_with_too_much_jitter_is_refused_by_name():
    assert refusal(jitter_ms=0.3) == (
        "bs -> edge-1: jitter_ms is 0.3, too large for a normal distribution at this delay_ms (1): draws below zero would shift the mean. "
        "Set it to at most 0.25."
    )


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"delay_ms": -1}, "delay_ms is -1: expected a number from 0 to 10000."),
        ({"delay_ms": "2"}, "delay_ms is '2': expected a number"),
        ({"delay_ms": float("nan")}, "delay_ms is nan: expected a number"),
        ({"delay_ms": True}, "delay_ms is True: expected a number"),
        ({"delay_ms": None}, "delay_ms is missing"),
        ({"loss_percent": 101}, "loss_percent is 101: expected a number from 0 to 100"),
        ({"loss_percent": -0.1}, "loss_percent is -0.1: expected a number from 0 to 100"),
        ({"rate_mbit": 0}, "rate_mbit is 0: expected a number above 0"),
        ({"limit_packets": 0}, "limit_packets is 0: expected an integer from 1 to below 2147483648"),
        ({"limit_packets": 1.5}, "limit_packets is 1.5: expected an integer"),
        ({"seed": 2**64}, "expected an integer from 0 to 18446744073709551615"),
        ({"reorder": "no"}, "reorder is 'no': expected true or false"),
        ({"duplicate_percent": 101}, "duplicate_percent is 101: expected a number from 0 to 100"),
        ({"corrupt_percent": -1}, "corrupt_percent is -1: expected a number from 0 to 100"),
        ({"distribution": "poisson"}, "expected one of normal, pareto, paretonormal, uniform"),
        ({"distribution": "uniform", "jitter_ms": 2}, "too large for a uniform distribution at this delay_ms (1)"),
        ({"loss_correlation_percent": 25}, "loss_percent is 0: only a loss between 0 and 100 can come in bursts"),
        (
            {"loss_percent": 1, "loss_correlation_percent": 100},
            "loss_correlation_percent is 100: expected a number from 0 to below 100",
        ),
        ({"gilbert_elliott": 5}, "gilbert_elliott is 5: expected a mapping of enter_percent"),
        ({"gilbert_elliott": {"enter_percent": 1}}, "gilbert_elliott.leave_percent is missing"),
        (
            {"gilbert_elliott": {"enter_percent": 1, "leave_percent": 0}},
            "gilbert_elliott.leave_percent is 0: expected a number above 0 and up to 100",
        ),
        ({"gilbert_elliott": {"enter_percent": 1, "leave_percent": 101}}, "gilbert_elliott.leave_percent is 101"),
        ({"gilbert_elliott": {"p": 1}}, "gilbert_elliott has no 'p': expected bad_loss_percent, enter_percent"),
        (
            {"loss_percent": 1, "gilbert_elliott": {"enter_percent": 1, "leave_percent": 5}},
            "gilbert_elliott and loss_percent both define the loss: keep one of them",
        ),
        ({"target": "bs"}, "a link joins two different nodes"),
        ({"jiter_ms": 1}, "a link has no 'jiter_ms': expected corrupt_percent, delay_ms"),
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
    assert " ".join(EDGE.tc_netem()) == "netem delay 1.25ms 0.25ms distribution normal loss 0.02% limit 2813"
    cloud = Link.between("bs", "cloud-1", delay_ms=15, jitter_ms=3, loss_percent=0.24)
    assert " ".join(cloud.tc_netem()) == "netem delay 15ms 3ms distribution normal loss 0.24% limit 33750"
    assert " ".join(cloud.tc_class()) == "htb rate 100000mbit burst 1250000 cburst 1250000 quantum 60000"


def test_a_delay_alone_names_no_distribution_and_no_loss():
    assert " ".join(Link.between("a", "b", delay_ms=50).tc_netem()) == "netem delay 50ms limit 62500"


def test_order_is_kept_by_a_rate_of_netems_own():
    assert Link.between("a", "b", delay_ms=5, reorder=False).tc_netem()[-2:] == ["rate", "100000mbit"]
    slow = Link.between("a", "b", delay_ms=5, rate_mbit=20, reorder=False)
    assert slow.tc_netem()[-2:] == ["rate", "20mbit"]
    assert slow.tc_class()[2] == "100000mbit"


def test_a_rate_that_lets_frames_overtake_is_kept_by_the_class():
    slow = Link.between("a", "b", delay_ms=5, jitter_ms=1, rate_mbit=20)
    assert "rate" not in slow.tc_netem()
    assert " ".join(slow.tc_class()) == "htb rate 20mbit burst 3200 cburst 3200 quantum 60000"


def test_all_of_a_link_in_the_words_of_tc():
    busy = Link.between(
        "a", "b", delay_ms=15, jitter_ms=3, loss_percent=1, distribution="pareto", loss_correlation_percent=50, duplicate_percent=2, corrupt_percent=0.5,
        rate_mbit=20, limit_packets=500, reorder=False, seed=7,
    )  # fmt: skip
    assert " ".join(busy.tc_netem()) == (
        "netem delay 15ms 3ms distribution pareto loss gemodel 0.5% 49.5% 100% 0% duplicate 2% corrupt 0.5% limit 500 "
        "rate 20mbit seed 7"
    )
    assert str(busy) == (
        "a -> b: 15 ms ± 3 ms pareto, 1 % loss (50 % correlated), 2 % duplicated, 0.5 % corrupted, 20 Mbit/s, "
        "500 packets at most, order kept, seed 7"
    )


def test_what_a_change_takes_away_is_named_as_none_for_netem_would_keep_it():
    old = Link.between("a", "b", delay_ms=5, corrupt_percent=1, reorder=False)
    assert Link.between("a", "b", delay_ms=6).tc_change(old)[-4:] == ["corrupt", "0%", "rate", "0bit"]
    assert (
        Link.between("a", "b", delay_ms=6).tc_change(Link.between("a", "b", delay_ms=5))
        == Link.between("a", "b", delay_ms=6).tc_netem()
    )


def test_bursts_by_gilbert_and_elliott_say_what_they_lose():
    bursts = Link.from_mapping(
        {"source": "a", "target": "b", "delay_ms": 5, "gilbert_elliott": {"enter_percent": 1, "leave_percent": 9}}
    )
    assert str(bursts) == "a -> b: 5 ms, 10 % loss (Gilbert-Elliott 1/9/100/0 %)"
    assert " ".join(bursts.tc_netem()) == "netem delay 5ms loss gemodel 1% 9% 100% 0% limit 6250"


def test_the_emulator_gets_the_same_link():
    assert EDGE.emulator() == {
        "target": "edge-1", "table": "normal", "delay_ns": 1.25e6, "jitter_ns": 0.25e6 / 8192, "loss": 0.0002, "chain": None, "duplicate": 0, "corrupt": 0,
        "ns_per_byte": 0, "limit": 2813, "reorder": True, "seed": None,
    }  # fmt: skip
    assert EDGE.delay.offsets == table("normal")


@given(st.text(min_size=1, max_size=15))
def test_every_interface_has_a_tap_with_a_name_that_an_interface_can_have(interface: str):
    tap = Emulator(interface, "emulator.py", Path("/nowhere")).tap
    assert tap.startswith("fb-")
    assert len(tap) <= 15


@given(st.floats(0, 500), st.floats(0, 0.25), st.none() | st.floats(0.1, 9000))
def test_the_queue_holds_what_the_link_holds(delay_ms: float, share: float, rate_mbit: float | None):
    link = Link.between("a", "b", delay_ms=delay_ms, jitter_ms=delay_ms * share, rate_mbit=rate_mbit)
    on_the_way = (rate_mbit or 10_000) * 1e6 / 8 / 1500 * (delay_ms + 4 * link.delay.jitter_ms) / 1000
    assert link.of(Limit).packets(link) >= max(1000, 1.49 * on_the_way)


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
    assert {key: read.entry()[key] for key in values} == values
