"""Variance components against a textbook's example and simulations in which they are known."""

from __future__ import annotations

import numpy as np
import pytest

from collect.analysis import estimators
from collect.analysis.components import Components, components
from collect.analysis.precision import needs

# Sokal and Rohlf, Biometry, box 10.1: three cages of four mosquitoes, each wing measured twice.
CAGES = {
    "1": ((58.5, 59.5), (77.8, 80.9), (84.0, 83.6), (70.1, 68.3)),
    "2": ((69.8, 69.8), (56.0, 54.5), (50.7, 49.3), (63.8, 65.8)),
    "3": ((56.6, 57.5), (77.8, 79.2), (69.9, 69.2), (62.1, 64.5)),
}


def drawn(
    random: np.random.Generator, sizes: tuple[tuple[int, ...], ...], sigmas: tuple[float, float, float]
) -> dict[str, list[tuple[float, int]]]:
    """Draw runs of blocks of these sizes with these standard deviations of run, block and repetition."""
    values = {}
    for number, blocks in enumerate(sizes):
        of_run = random.normal(0, sigmas[0])
        values[str(number)] = [
            (of_run + of_block + random.normal(0, sigmas[2]), block)
            for block, size in enumerate(blocks)
            for of_block in [random.normal(0, sigmas[1])]
            for _ in range(size)
        ]
    return values


def test_the_components_are_those_of_sokal_and_rohlf() -> None:
    seen = components({cage: [(v, one) for one, pair in enumerate(f) for v in pair] for cage, f in CAGES.items()})
    assert seen is not None
    assert seen.repetition == pytest.approx(1.3017, abs=1e-4)
    assert seen.block == pytest.approx(94.942, abs=1e-3)
    assert seen.run == pytest.approx(17.706, abs=1e-3)
    assert seen.within_run == pytest.approx(2 * 94.942 + 1.3017, abs=1e-3)


def test_runs_and_blocks_of_unequal_sizes_give_their_own_variances() -> None:
    random = np.random.default_rng(1)
    sizes = ((5, 5, 2), (3, 5), (1, 4, 5, 5), (5, 5), (2, 2, 2))
    all_seen = [components(drawn(random, sizes, (0.5, 0.3, 0.2))) for _ in range(800)]
    means = np.mean([(seen.run, seen.block or 0, seen.repetition) for seen in all_seen if seen], axis=0)
    # Estimates below zero count as zero, so the first is a little too large.
    assert means == pytest.approx([0.25, 0.09, 0.04], rel=0.12)


@pytest.mark.parametrize("sigma", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("runs", [2, 5])
def test_the_interval_of_the_variance_between_runs_holds_it(runs: int, sigma: float) -> None:
    random = np.random.default_rng(2)
    held = 0
    for _ in range(300):
        seen = components(drawn(random, ((1,) * 20,) * runs, (sigma, 0.0, 0.5)))
        assert seen is not None
        assert seen.block is None
        held += seen.run_low <= sigma**2 <= seen.run_high
    assert held >= 0.92 * 300


def test_without_repetitions_or_runs_there_is_nothing_to_tell_apart() -> None:
    assert components({"a": [(1.0, 1)], "b": [(2.0, 1)]}) is None
    assert components({"a": [(1.0, 1), (2.0, 2)]}) is None


def test_equal_values_do_not_vary() -> None:
    seen = components({"a": [(1.0, 1), (1.0, 2)], "b": [(1.0, 1), (1.0, 2)]})
    assert seen is not None
    assert (seen.run, seen.run_low, seen.run_high, seen.repetition) == (0, 0, 0, 0)


def variation(runs: int, between: float, within: float) -> Components:
    """Runs that differ by these standard deviations."""
    return Components(runs, between**2, 0.0, 1.0, None, within**2, 1.0)


def test_as_many_runs_as_are_said_to_be_needed_give_the_precision_and_one_less_does_not() -> None:
    random = np.random.default_rng(3)
    for need in needs(0.75, variation(4, 0.05, 0.3), 20):
        assert need.runs is not None
        widths = []
        for count in (need.runs, need.runs - 1):
            runs = random.normal(np.log(0.75), np.hypot(0.05, 0.3 / np.sqrt(20)), (10_000, count))
            _, low, high = estimators.mean(runs)
            # The root of the mean square, which is what the variance is about.
            widths.append(100 * 0.75 * np.sqrt(np.mean(((high - low) / 2) ** 2)))
        assert widths[0] < 1.05 * need.points
        assert widths[1] > 0.97 * need.points


def test_as_many_repetitions_as_are_said_to_be_needed_give_the_precision() -> None:
    of_five = variation(5, 0.01, 0.3)
    for need in needs(0.75, of_five, 20):
        assert need.repetitions is not None
        (again,) = needs(0.75, of_five, need.repetitions, (need.points,))
        assert again.runs is not None
        assert again.runs <= 5


def test_where_runs_differ_no_number_of_repetitions_makes_up_for_more_runs() -> None:
    assert [need.repetitions for need in needs(0.75, variation(4, 0.3, 0.1), 20)] == [None, None, None]
    ten, five, two = needs(0.75, variation(4, 0.0, 0.3), 20)
    assert ten.repetitions is not None
    assert five.repetitions is not None
    assert two.repetitions is not None
    assert 6 <= ten.repetitions < five.repetitions < two.repetitions
