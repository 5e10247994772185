"""The loss of a link: each frame by a draw of its own, or in bursts by a chain of two states."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .chain import Chain, correlated, independent, tails
from .estimates import loss_interval
from .property import Property, PropertyError, percent, value

if TYPE_CHECKING:
    from .link import Link
    from .property import Observation


@dataclass(frozen=True)
class Loss(Property):
    """Which share of frames never arrives."""

    loss_percent: float = percent("Share of frames that are lost.", default=0)
    loss_correlation_percent: float = percent(
        "Loss in bursts: correlation of a frame's loss with the previous one's; the share lost stays.",
        default=0, at_most=None, below=100,
    )  # fmt: skip
    gilbert_elliott: Chain | None = value(  # noqa: RUF009  (a field, and Chain is frozen)
        Chain, "Loss in bursts by a chain of two states, in place of loss_percent.", default=None
    )

    def check(self) -> None:
        if self.gilbert_elliott is not None and (self.loss_percent or self.loss_correlation_percent):
            raise PropertyError("gilbert_elliott and loss_percent both define the loss: keep one of them")
        if self.loss_correlation_percent and not 0 < self.loss_percent < 100:
            raise PropertyError(
                f"loss_correlation_percent is {self.loss_correlation_percent:g}, but loss_percent is "
                f"{self.loss_percent:g}: only a loss between 0 and 100 can come in bursts"
            )

    @property
    def bursts(self) -> Chain | None:
        """The chain by which frames are lost in bursts, or None where each is lost by its own draw."""
        if self.loss_correlation_percent:
            return correlated(self.loss_percent, self.loss_correlation_percent)
        return self.gilbert_elliott

    @property
    def chain(self) -> Chain:
        """The chain by which frames are lost, in bursts or not."""
        return self.bursts or independent(self.loss_percent / 100)

    def words(self) -> str:
        if (chain := self.gilbert_elliott) is not None:
            shares = (chain.enter_percent, chain.leave_percent, chain.bad_loss_percent, chain.good_loss_percent)
            return f"{100 * chain.loss:.4g} % loss (Gilbert-Elliott {'/'.join(f'{share:g}' for share in shares)} %)"
        correlation = self.loss_correlation_percent
        return f"{self.loss_percent:g} % loss" + (f" ({correlation:g} % correlated)" if correlation else "")

    def tc(self, link: Link) -> list[str]:
        if (chain := self.bursts) is not None:
            shares = (chain.enter_percent, chain.leave_percent, chain.bad_loss_percent, chain.good_loss_percent)
            return ["loss", "gemodel", *(f"{share:.9g}%" for share in shares)]
        return ["loss", f"{self.loss_percent:g}%"] if self.loss_percent else []

    def emulator(self, link: Link) -> dict[str, Any]:
        return {"loss": self.loss_percent / 100, "chain": self.bursts and self.bursts.shares}

    def problems(self, seen: Observation) -> list[str]:
        share = f"loss {100 * seen.lost / seen.sent:.3g} % ({seen.lost} of {seen.sent}"
        tail = (1 - seen.confidence) / 2
        if self.chain.inflation > 1:
            at_most, at_least = tails(self.chain.with_damage(seen.damaged), seen.sent, seen.lost)
            if min(at_most, at_least) >= tail:
                return []
            side, probability = ("few", at_most) if at_most < at_least else ("many", at_least)
            expected = f"expected {100 * seen.loss:.4g} % in bursts"
            return [f"{share}), {expected}: P(this {side} losses) = {probability:.1g}"]
        low, high = loss_interval(seen.lost, seen.sent, seen.confidence)
        if low <= seen.loss <= high:
            return []
        interval = f"{100 * seen.confidence:.6g} % interval {100 * low:.3g} to {100 * high:.3g} %"
        return [f"{share}; {interval}), expected {100 * seen.loss:.4g} %"]
