"""Detectable effects against figures worked out by hand."""

import math
from functools import partial
from types import SimpleNamespace

import pytest

from reset_tuning.planning.effects import _effects, detectable_effects
from reset_tuning.stats.hypotheses import minimum_detectable_effect

USUAL = partial(minimum_detectable_effect, level=0.95, power=0.8)


@pytest.mark.parametrize(
    ("sets", "paired", "unpaired"),
    [
        ([(300, 0.25)], 0.040, 0.057),  # 300 ratings
        ([(1000, 0.5)], 0.044, 0.063),  # 1,000 answers that are right or wrong
        ([(1000, 0.387)] * 6, 0.014, 0.020),  # six sets of faithfulness
    ],
)
def test_effects_of_examples(sets: list, paired: float, unpaired: float) -> None:
    found = _effects(sets, 0.01, 0.5, 3, USUAL)
    assert found["paired"] == pytest.approx(paired, abs=0.0006)
    assert found["unpaired"] == pytest.approx(unpaired, abs=0.0006)


def test_three_seeds_alone_show_a_difference_of_five_hundredths() -> None:
    """(4.30 + 1.35) * .01 * sqrt(2 / 3) = .046: paired by seed, Student's t of two degrees."""
    three, one = (_effects([(300, 0.25)], 0.01, 0.5, n, USUAL)["over_seeds"] for n in (3, 1))
    assert three == pytest.approx(0.046, abs=0.001)
    assert one is None


def test_four_times_the_examples_halve_the_effect() -> None:
    small, large = (_effects([(n, 0.3)], 0.01, 0.5, 3, USUAL)["paired"] for n in (100, 400))
    assert math.isclose(small, 2 * large)


def test_level_and_power_are_those_of_the_config() -> None:
    """z(.975) + z(.8) = 2.80 and z(.995) + z(.9) = 3.86 standard errors."""
    paired = []
    for level, power in ((0.95, 0.8), (0.99, 0.9)):
        config = {"seeds": [1, 2, 3], "statistics": {"level": level, "power": power}}
        experiment = SimpleNamespace(config=config, datasets={"nq": {"kind": "extractive_qa"}})
        evaluated = {"nq": SimpleNamespace(count=100)}
        expectations = SimpleNamespace(experiment=experiment, evaluated=lambda sets=evaluated: sets)
        deviations = {"kinds": {"extractive_qa": 0.4}, "seed": 0.01, "correlation": 0.5}
        paired.append(detectable_effects(expectations, deviations)[0]["paired"])
    assert paired == pytest.approx([2.802 * 0.04, 3.857 * 0.04], rel=1e-3)
