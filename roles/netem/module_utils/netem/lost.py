"""What a link's loss and duplication are held against: a part of the gate. Pure, no I/O."""

from __future__ import annotations

from typing import Any

from .estimates import LOSS_CONFIDENCE, loss_interval
from .loss import Chain, correlated, independent, tails

# A turned bit loses a probe, save in the sender's hardware address, 6 of the 58 bytes of its frame; and, by IPv6, of 78,
# in traffic class, flow label and hop limit, 36 bits.
CORRUPTED_AND_LOST = {4: 52 / 58, 6: 67.5 / 78}


def loss_of(link: dict[str, Any]) -> tuple[Chain, float]:
    """Return the chain by which a link loses frames, and the share of them that it damages."""
    corrupted = link.get("corrupt_percent", 0) / 100
    if link.get("gilbert_elliott"):
        return Chain(**link["gilbert_elliott"]), corrupted
    if link.get("loss_correlation_percent"):
        return correlated(link["loss_percent"], link["loss_correlation_percent"]), corrupted
    return independent(link["loss_percent"] / 100), corrupted


def lost_problems(chain: Chain, damaged: float, sent: int, lost: int) -> list[str]:
    """Return in which words a count of lost probes is not what a chain, and that share of damaged ones, would lose."""
    target = chain.loss + (1 - chain.loss) * damaged
    tail = (1 - LOSS_CONFIDENCE) / 2
    if chain.inflation > 1:
        # Both of its states lose that much more.
        states = (value + (100 - value) * damaged for value in (chain.bad_loss_percent, chain.good_loss_percent))
        at_most, at_least = tails(Chain(chain.enter_percent, chain.leave_percent, *states), sent, lost)
        if min(at_most, at_least) >= tail:
            return []
        side, chance = ("few", at_most) if at_most < at_least else ("many", at_least)
        return [
            (
                f"loss {100 * lost / sent:.3g} % ({lost} of {sent}), expected {100 * target:.4g} % in bursts: "
                f"so {side} have a chance of {chance:.1g}"
            )
        ]
    low, high = loss_interval(lost, sent, LOSS_CONFIDENCE)
    if low <= target <= high:
        return []
    return [
        (
            f"loss {100 * lost / sent:.3g} % ({lost} of {sent}), "
            f"between {100 * low:.3g} and {100 * high:.3g} %, expected {100 * target:.4g} %"
        )
    ]


def duplicated_problems(link: dict[str, Any], found: int | None, sent: int, lost: float) -> list[str]:
    """Return in which words a count of probes that came twice is not what was asked for; None was not counted."""
    if found is None:
        return []
    # A frame that is lost as well as repeated arrives once, and its copy may be lost (sch_netem.c, netem_enqueue).
    target = link.get("duplicate_percent", 0) / 100 * (1 - lost) ** 2
    low, high = loss_interval(min(found, sent), sent, LOSS_CONFIDENCE)
    if low <= target <= high:
        return []
    return [
        f"{found} of {sent} probes came twice, between {100 * low:.3g} and {100 * high:.3g} %, expected {100 * target:.3g} %"
    ]
