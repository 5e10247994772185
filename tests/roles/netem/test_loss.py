"""Loss in bursts: a chain of two states loses what it says, and its exact chances are those of counting it out."""

from __future__ import annotations

from itertools import pairwise, product
from random import Random

import pytest
from ansible.module_utils.netem.chain import Chain, correlated, independent, tails
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

inner = st.floats(1, 99)


def by_enumeration(chain: Chain, sent: int) -> list[float]:
    """Return the chance of each count of lost frames, summed over every way the states and the draws can go."""
    enter, leave, bad_loss, good_loss = chain.shares
    chances = [0.0] * (sent + 1)
    for states in product((True, False), repeat=sent):
        way = chain.bad_share if states[0] else 1 - chain.bad_share
        for before, now in pairwise(states):
            leaves = leave if before else enter
            way *= leaves if before != now else 1 - leaves
        for draws in product((True, False), repeat=sent):
            chance = way
            for bad, drawn in zip(states, draws, strict=True):
                share = bad_loss if bad else good_loss
                chance *= share if drawn else 1 - share
            chances[sum(draws)] += chance
    return chances


@given(st.builds(Chain, inner, inner, inner, inner))
def test_the_tails_are_those_of_every_way_it_can_go(chain: Chain):
    chances = by_enumeration(chain, 5)
    for lost in range(6):
        at_most, at_least = tails(chain, 5, lost)
        assert at_most == pytest.approx(sum(chances[: lost + 1]), abs=1e-9)
        assert at_least == pytest.approx(sum(chances[lost:]), abs=1e-9)


@pytest.mark.parametrize("lost", [0, 1, 24, 60, 1000])
def test_a_chain_without_memory_is_binomial(lost: int):
    assert tails(independent(0.024), 1000, lost) == pytest.approx(
        (stats.binom.cdf(lost, 1000, 0.024), stats.binom.sf(lost - 1, 1000, 0.024)), abs=1e-9
    )


@given(st.floats(0.01, 99), st.floats(0.1, 99))
def test_correlated_loss_loses_the_share_that_was_asked_for(loss_percent: float, correlation_percent: float):
    chain = correlated(loss_percent, correlation_percent)
    assert 100 * chain.loss == pytest.approx(loss_percent)
    after_a_loss = 1 - chain.leave_percent / 100
    after_none = chain.enter_percent / 100
    assert after_a_loss - after_none == pytest.approx(correlation_percent / 100)


def test_the_inflation_is_that_of_counts_of_a_chain_that_is_run():
    chain, draw, sent = Chain(2, 10, 80, 1), Random(3).random, 2000
    counts = []
    for _ in range(300):
        bad, lost = draw() < chain.bad_share, 0
        for _ in range(sent):
            lost += draw() < (0.8 if bad else 0.01)
            bad = draw() >= 0.1 if bad else draw() < 0.02
        counts.append(lost)
    alone = sent * chain.loss * (1 - chain.loss)
    assert stats.tvar(counts) / alone == pytest.approx(chain.inflation, rel=0.25)
    assert stats.tmean(counts) / sent == pytest.approx(chain.loss, rel=0.05)
