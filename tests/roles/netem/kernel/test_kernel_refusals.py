"""The kernel's backend refuses in words what cannot be, or where it cannot be, and touches nothing then."""

from __future__ import annotations

from typing import Any

import pytest
from uml import modules
from wires import ModuleFailedError, Wires, link

pytestmark = [pytest.mark.lab, pytest.mark.long]

ADDRESSES = {"a": ["198.19.128.10"], "b": ["198.19.128.11"], "c": ["198.19.128.12"]}


@pytest.fixture(scope="module")
def untouched(wires: Wires) -> str:
    """What node a's interfaces are before anything is asked for."""
    return wires.tc("a")


def refusal(wires: Wires, untouched: str, **options: Any) -> str:
    """Return in which words links of node a are refused; it has to be as it was."""
    with pytest.raises(ModuleFailedError) as refused:
        wires.links("a", "present", **({"links": [link("a", "b", 5)], "backend": "kernel"} | options))
    assert wires.tc("a") == untouched
    assert not (wires.folder / "a").exists()
    return str(refused.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        pytest.param({"interface": "data7"}, "there is no interface 'data7': set netem_interface", id="interface"),
        pytest.param(
            {"links": [link("a", "z", 5)]},
            "a -> z: the inventory has no host 'z' with a data_address; it has a, b, c",
            id="host",
        ),
        pytest.param(
            {"links": [link("a", "b", 5), link("a", "b", 6)]},
            "a -> b: netem_links names this ordered pair twice. Keep one of them.",
            id="pair",
        ),
        pytest.param(
            {"addresses": ADDRESSES | {"c": ADDRESSES["b"]}, "links": [link("a", "b", 5), link("a", "c", 5)]},
            "a -> c: 198.19.128.11/32 is b's as well",
            id="address",
        ),
        pytest.param(
            {"links": [link("a", "b", 5, 0, 101)]},
            "a -> b: loss_percent is 101: expected a number from 0 to 100.",
            id="loss",
        ),
        pytest.param(
            {"links": [link("a", "b", -5)]},
            "a -> b: delay_ms is -5: expected a number from 0 to 10000.",
            id="negative",
        ),
        pytest.param(
            {"links": [link("a", "b", 5, 1.5)]},
            "a -> b: jitter_ms is 1.5, too large for a normal distribution at this delay_ms (5)",
            id="jitter",
        ),
        pytest.param({"wrapped": ["env", "PATH=/nowhere"]}, "there is no tc on the node: install iproute2.", id="tc"),
        pytest.param(
            {"wrapped": ["setpriv", "--bounding-set=-net_admin"]},
            "shaping links needs CAP_NET_ADMIN on the node",
            id="capability",
        ),
        pytest.param(
            {"addresses": ADDRESSES | {"b": "2001:db8:6::11"}},
            "a -> b: no two addresses of one family, by which the link could be probed",
            id="family",
        ),
    ],
)
def test_bad_input_is_refused_in_words_and_nothing_is_touched(
    wires: Wires, untouched: str, options: dict[str, Any], words: str
):
    assert refusal(wires, untouched, **options).startswith(words)


@pytest.mark.parametrize(
    ("part", "backend"),
    [("sch_netem", "kernel"), ("sch_netem", "auto"), ("sch_htb", "kernel"), ("cls_u32", "kernel")],
)
def test_a_kernel_that_lacks_a_part_is_named_before_anything_is_touched(
    wires: Wires, untouched: str, part: str, backend: str
):
    with modules.without(part):
        message = refusal(wires, untouched, backend=backend)
    assert message.startswith(f"netem_backend is {backend}, but this kernel has no {part} (")
    assert "Load or install what is missing (Debian's kernels have it)" in message
    assert ("/dev/net/tun cannot be opened" in message) == (backend == "auto")
