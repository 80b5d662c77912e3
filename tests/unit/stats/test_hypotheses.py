"""Tests of claims on synthetic effects: error rates, power, adjustment."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm
from statsmodels.stats.power import TTestPower

from reset_tuning.stats.bootstrap import Spread, spread
from reset_tuning.stats.hypotheses import (
    Evidence,
    all_of,
    critical_distance,
    holm,
    minimum_detectable_effect,
    verdict,
    weigh,
)
from reset_tuning.stats.quantities import pooled_mean

SPREAD = Spread(0.0, 0.01, interaction=0.0, seed_degrees=0, example_degrees=1e6)  # error 0.1


@pytest.mark.parametrize(
    ("effect", "expect", "margin", "support", "against"),
    [
        (0.196, "higher", 0.0, 0.05, 1.0),
        (0.196, "lower", 0.0, 1.0, 0.05),
        (0.0, "higher", 0.0, 1.0, 1.0),
        (0.096, "not_lower", 0.1, 0.05, 1.0),
        (-0.296, "not_lower", 0.1, 1.0, 0.05),
        (0.0, "equal", 0.196, 0.05, 1.0),
        (0.296, "equal", 0.1, 1.0, 0.05),
        (-0.296, "equal", 0.1, 1.0, 0.05),
    ],
)
def test_the_evidence_of_one_effect(effect, expect, margin, support, against) -> None:
    found = weigh(effect, SPREAD, expect, margin)
    assert found.support == pytest.approx(support, abs=1e-4)
    assert found.against == pytest.approx(against, abs=1e-4)


def test_seeds_that_agree_by_chance_do_not_make_an_effect_surer_than_the_examples_do() -> None:
    agreeing = Spread(0.0, 0.01, interaction=0.01, seed_degrees=2, example_degrees=1e6)
    assert weigh(0.196, agreeing, "higher").support == pytest.approx(0.05, abs=1e-4)
    differing = replace(agreeing, seeds=0.01)
    assert weigh(0.4303, differing, "higher").support == pytest.approx(0.05, abs=1e-4)


def test_a_claim_is_as_strong_as_its_weakest_part() -> None:
    found = all_of([Evidence(0.001, 1.0), Evidence(0.2, 0.9), Evidence(0.01, 0.02)])
    assert found.support == 0.2
    assert found.against == pytest.approx(0.06)  # any part may contradict, so three chances


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []


def test_verdicts() -> None:
    assert verdict(Evidence(0.01, 1.0), 0.04, 0.95) == "supported"
    assert verdict(Evidence(1.0, 0.01), 0.04, 0.95) == "contradicted"
    assert verdict(Evidence(0.01, 1.0), 0.06, 0.95) == "inconclusive"


def null_claims(
    repetitions: int, claims: int, seed_sd: float, example_sd: float = 0.7
) -> np.ndarray:
    """Return p-values of claims none of which is true: effects are 0, examples are shared.

    Next to `seed_sd` and `example_sd` trainings answer the same examples differently (sd 1).
    """
    generator = np.random.default_rng(11)
    p_values = np.empty((repetitions, claims))
    for repetition in range(repetitions):
        shared = generator.normal(0, example_sd / 2, (1, 60))
        for claim in range(claims):
            scores = shared + generator.normal(0, 1, (3, 60))
            scores += generator.normal(0, example_sd, (1, 60))
            scores += generator.normal(0, seed_sd, (3, 1))
            quantity = pooled_mean({"nq": scores}, (1, 2, 3))
            evidence = weigh(quantity.mean, spread(quantity), "higher")
            p_values[repetition, claim] = min(evidence.support, evidence.against)
    return p_values


@pytest.mark.parametrize("seed_sd", [0.0, 0.15, 0.3, 1.0])
@pytest.mark.parametrize("example_sd", [0.0, 0.7])
def test_the_familywise_error_is_at_most_five_percent(seed_sd, example_sd) -> None:
    p_values = null_claims(600, 8, seed_sd, example_sd)
    smallest = p_values.min(axis=1)
    assert holm(list(p_values[0]))[p_values[0].argmin()] == pytest.approx(min(1.0, 8 * smallest[0]))
    # Holm rejects any claim only if this one; of 600, so +- .018.
    assert np.mean(8 * smallest <= 0.05) <= 0.068
    assert np.mean(p_values <= 0.05) <= 0.055
    assert np.mean(p_values <= 0.01) <= 0.014  # of 4,800, so +- .003


def test_without_adjustment_some_claim_would_often_be_wrong() -> None:
    assert np.mean(null_claims(300, 8, 1.0).min(axis=1) <= 0.05) > 0.15


@pytest.mark.parametrize(
    ("seed_sd", "example_sd", "tolerance"), [(0.0, 1.0, 0.02), (0.5, 0.05, 0.02), (0.1, 1.0, 0.05)]
)
def test_a_true_effect_of_the_detectable_size_is_found_as_often_as_said(
    seed_sd, example_sd, tolerance
) -> None:
    n, seeds = 80, 3
    true = known_spread(seed_sd**2 / seeds, example_sd**2 / n, n - 1)
    effect = minimum_detectable_effect(true, 0.95, 0.8)
    generator = np.random.default_rng(13)
    found = 0
    for _ in range(2000):
        scores = effect + generator.normal(0, seed_sd, (seeds, 1))
        scores = scores + generator.normal(0, example_sd, (1, n))
        quantity = pooled_mean({"nq": scores}, (1, 2, 3))
        found += weigh(quantity.mean, spread(quantity), "higher").support <= 0.05
    assert found / 2000 == pytest.approx(0.8, abs=tolerance)


def known_spread(seeds: float, examples: float, example_degrees: float) -> Spread:
    return Spread(seeds, examples, 0.0, 2, example_degrees)


@pytest.mark.parametrize("degrees", [2, 5, 40])
def test_the_detectable_effect_is_that_of_statsmodels(degrees) -> None:
    size = TTestPower().solve_power(nobs=degrees + 1, alpha=0.05, power=0.8)
    expected = size * np.sqrt(degrees + 1) * 0.01
    seeds_alone = Spread(1e-4, 0.0, 0.0, degrees, np.inf)
    assert minimum_detectable_effect(seeds_alone, 0.95, 0.8) == pytest.approx(expected, rel=1e-3)


def test_with_many_degrees_the_detectable_effect_is_normal() -> None:
    expected = 0.01 * (norm.ppf(0.975) + norm.ppf(0.8))
    assert minimum_detectable_effect(known_spread(0.0, 1e-4, 1e6), 0.95, 0.8) == pytest.approx(
        expected
    )
    assert minimum_detectable_effect(known_spread(0.0, 1e-4, 9e3), 0.95, 0.8) == pytest.approx(
        expected, rel=1e-3
    )
    assert minimum_detectable_effect(known_spread(0.0, 0.0, np.inf), 0.95, 0.8) == 0


@pytest.mark.parametrize("rest", [0.0, 1e-18])
def test_seeds_that_agree_exactly_leave_the_tests_own_distance(rest: float) -> None:
    """All is interaction then, but for rounding: the noncentral t's search did not end."""
    agreed = Spread(0.0, 0.01 + rest, 0.01, 2, 72)
    found = minimum_detectable_effect(agreed, 0.95, 0.8)
    assert found == pytest.approx(critical_distance(0.05, agreed)) and found > 0
