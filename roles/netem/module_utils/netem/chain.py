"""Gilbert's and Elliott's chain of two states, by which loss comes in bursts, and how many of n frames it loses."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

from .property import percent


@dataclass(frozen=True)
class Chain:
    """A chain of a good and a bad state, one step a frame: `loss gemodel p r 1-h 1-k` of `tc-netem(8)`."""

    enter_percent: float = percent("Probability that a frame puts the link into the bad state.", at_least=None, above=0)
    leave_percent: float = percent("Probability that a frame ends the bad state.", at_least=None, above=0)
    bad_loss_percent: float = percent("Loss in the bad state.", default=100)
    good_loss_percent: float = percent("Loss in the good state.", default=0)

    @property
    def bad_share(self) -> float:
        """How much of the time the chain is bad."""
        return self.enter_percent / (self.enter_percent + self.leave_percent)

    @property
    def loss(self) -> float:
        """The share of frames lost in the long run."""
        return (self.bad_share * self.bad_loss_percent + (1 - self.bad_share) * self.good_loss_percent) / 100

    @property
    def inflation(self) -> float:
        """How many times the variance of a count of lost frames is that of independent losses, in the long run."""
        loss, memory = self.loss, 1 - (self.enter_percent + self.leave_percent) / 100
        between = self.bad_share * (1 - self.bad_share) * ((self.bad_loss_percent - self.good_loss_percent) / 100) ** 2
        if loss in (0, 1):
            return 1.0
        return max(1 + 2 * between / (loss * (1 - loss)) * memory / (1 - memory), 1 / 1000)

    @property
    def shares(self) -> tuple[float, float, float, float]:
        """The four, as shares of one."""
        return (
            self.enter_percent / 100, self.leave_percent / 100, self.bad_loss_percent / 100, self.good_loss_percent / 100,
        )  # fmt: skip

    def with_damage(self, damaged: float) -> Chain:
        """Return the chain whose two states lose this share more of what they let through."""
        bad, good = (value + (100 - value) * damaged for value in (self.bad_loss_percent, self.good_loss_percent))
        return Chain(self.enter_percent, self.leave_percent, bad, good)


def correlated(loss_percent: float, correlation_percent: float) -> Chain:
    """Return the chain that loses this share, neighbouring frames with this correlation.

    netem's own `loss P CORRELATION` does not: it averages each draw with the last, which changes how many are lost
    (of 1 % with 50 % correlation next to nothing is), so `tc-netem(8)` calls it deprecated.
    """
    change = 1 - correlation_percent / 100
    return Chain(loss_percent * change, (100 - loss_percent) * change)


def independent(loss: float) -> Chain:
    """Return the chain without memory that loses this share of one."""
    return Chain(50.0, 50.0, 100 * loss, 100 * loss)


@cache
def tails(chain: Chain, sent: int, lost: int) -> tuple[float, float]:
    """Return the exact probabilities that of so many frames at most, and at least, so many are lost.

    Counted frame by frame, the chain being in its long-run state at the first.
    """
    at_most = _at_most(chain, sent, lost)
    return at_most, 1 - _at_most(chain, sent, lost - 1)


def _at_most(chain: Chain, sent: int, lost: int) -> float:
    if lost < 0:
        return 0.0
    if lost >= sent:
        return 1.0
    enter, leave, bad_loss, good_loss = chain.shares
    bad, good = [0.0] * (lost + 1), [0.0] * (lost + 1)
    bad[0], good[0] = chain.bad_share, 1 - chain.bad_share
    for done in range(sent):
        last_bad = last_good = 0.0
        for count in range(min(done + 1, lost) + 1):
            now_bad = bad[count] * (1 - bad_loss) + last_bad * bad_loss
            now_good = good[count] * (1 - good_loss) + last_good * good_loss
            last_bad, last_good = bad[count], good[count]
            bad[count] = now_bad * (1 - leave) + now_good * enter
            good[count] = now_good * (1 - enter) + now_bad * leave
    return math.fsum(bad) + math.fsum(good)
