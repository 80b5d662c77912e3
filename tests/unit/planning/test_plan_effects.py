"""Detectable effects against figures worked out by hand."""

import math

import pytest

from reset_tuning.planning.effects import _effects


@pytest.mark.parametrize(
    ("sets", "paired", "unpaired"),
    [
        ([(300, 0.25)], 0.040, 0.057),  # 300 ratings
        ([(1000, 0.5)], 0.044, 0.063),  # 1,000 answers that are right or wrong
        ([(1000, 0.387)] * 6, 0.014, 0.020),  # six sets of faithfulness
    ],
)
def test_effects_of_examples(sets: list, paired: float, unpaired: float) -> None:
    found = _effects(sets, 0.01, 0.5, 3)
    assert found["paired"] == pytest.approx(paired, abs=0.0006)
    assert found["unpaired"] == pytest.approx(unpaired, abs=0.0006)


def test_three_seeds_alone_show_a_difference_of_five_hundredths() -> None:
    """(4.30 + 1.35) * .01 * sqrt(2 / 3) = .046: paired by seed, Student's t of two degrees."""
    assert _effects([(300, 0.25)], 0.01, 0.5, 3)["over_seeds"] == pytest.approx(0.046, abs=0.001)
    assert _effects([(300, 0.25)], 0.01, 0.5, 1)["over_seeds"] is None


def test_four_times_the_examples_halve_the_effect() -> None:
    small, large = (_effects([(n, 0.3)], 0.01, 0.5, 3)["paired"] for n in (100, 400))
    assert math.isclose(small, 2 * large)
