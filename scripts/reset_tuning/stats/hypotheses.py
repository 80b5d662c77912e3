"""Tests of claims: on which side of a bound an effect lies, several claims at once, and power.

An effect is tested against both of its variances (bootstrap.py), each with Student's quantile of
its own degrees of freedom: at level a it differs from a bound when

    distance² > t(a, seeds - 1)² * of seeds + t(a, examples - 1)² * (of examples - interaction)

and when it does for these very weights: distance² > t(a, examples - 1)² * of examples. Seeds that
agree by chance do not make a test bold in this way, at any level: on synthetic scores the error
stays at or below a from a = 5 % down to 0.1 %, which the adjustment for several claims needs. The
price is that a test is a little stricter than the interval beside it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy.optimize import brentq
from scipy.special import nctdtrinc, ndtri, stdtridf, stdtrit

from reset_tuning.stats.bootstrap import Spread

Expectation = Literal["higher", "lower", "not_lower", "equal"]
_LEAST_LOG_P = -300.0
_MANY_DEGREES = 1e4  # above, Student's t is taken as normal
_NO_ERROR = 1e-4  # of the critical distance: seeds that agree to four digits do not vary


@dataclass(frozen=True)
class Evidence:
    """Two-sided p-values for an expectation and against it."""

    support: float
    against: float


def weigh(effect: float, spread: Spread, expect: Expectation, margin: float = 0.0) -> Evidence:
    """Return the evidence of one effect for and against what is expected of it.

    `higher` and `lower` are about 0; `not_lower` holds above -margin (non-inferiority), `equal`
    between -margin and margin (two one-sided tests). p-values are twice one-sided ones, as of a
    test that looks in both directions.
    """
    inside = {
        "higher": effect,
        "lower": -effect,
        "not_lower": effect + margin,
        "equal": margin - abs(effect),
    }[expect]
    return Evidence(two_sided_p(inside, spread), two_sided_p(-inside, spread))


def two_sided_p(distance: float, spread: Spread) -> float:
    """Return the level at which an effect `distance` beyond its bound just differs from it.

    1 for an effect on the other side; without any spread 0.
    """
    if distance <= 0:
        return 1.0

    def excess(log_p: float) -> float:
        return critical_distance(np.exp(log_p), spread) ** 2 - distance**2

    if excess(_LEAST_LOG_P) < 0:
        return 0.0
    return float(np.exp(brentq(excess, _LEAST_LOG_P, 0.0, xtol=1e-9)))


def critical_distance(level: float, spread: Spread) -> float:
    """Return the distance from a bound that a two-sided test at a level needs (above)."""
    of_seeds = _square(spread.seed_degrees, level, spread.seeds)
    beyond = max(spread.examples - spread.interaction, 0.0)
    both = of_seeds + _square(spread.example_degrees, level, beyond)
    return float(np.sqrt(max(both, _square(spread.example_degrees, level, spread.examples))))


def _square(degrees: float, level: float, variance: float) -> float:
    """Return the squared distance that a two-sided t-test at a level needs."""
    return float(stdtrit(degrees, level / 2) ** 2 * variance) if variance > 0 else 0.0


def all_of(parts: Sequence[Evidence]) -> Evidence:
    """Return the evidence for a claim that holds only if all its parts do.

    It is supported as far as its weakest part (an intersection-union test), and contradicted by
    any part, whose p-value is multiplied by their number.
    """
    support = max(part.support for part in parts)
    against = min(1.0, len(parts) * min(part.against for part in parts))
    return Evidence(support, against)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted so that any wrong rejection has at most the level's chance."""
    # Imported here: it takes most of a second, and of the table jobs only the claims need it.
    from statsmodels.stats.multitest import multipletests

    if not p_values:
        return []
    return [float(p) for p in multipletests(p_values, method="holm")[1]]


def verdict(evidence: Evidence, adjusted: float, level: float) -> str:
    """Return supported, contradicted or inconclusive; `adjusted` is the smaller p, adjusted."""
    if adjusted > 1 - level:
        return "inconclusive"
    return "supported" if evidence.support <= evidence.against else "contradicted"


def minimum_detectable_effect(spread: Spread, level: float, power: float) -> float:
    """Return the true distance from a bound that a two-sided test finds with the given power.

    The test's level is 1 - level, unadjusted for other claims. Its statistic is taken as noncentral
    t with the degrees of freedom that belong to the critical distance; where next to nothing
    varies, any effect beyond that distance is found, and the search for the t would not end.
    """
    error, distance = spread.error, critical_distance(1 - level, spread)
    if error <= _NO_ERROR * distance:
        return distance
    tail = (1 + level) / 2
    critical = distance / error
    if critical <= stdtrit(_MANY_DEGREES, tail):
        return error * float(ndtri(tail) + ndtri(power))
    return max(distance, error * float(nctdtrinc(stdtridf(tail, critical), 1 - power, critical)))


def examples_only(effect: float, spread: Spread, expect: Expectation, margin: float) -> float:
    """Return the p-value for an expectation from a paired test over the same examples alone.

    It asks whether these very weights differ, and not whether trainings with other seeds would:
    with one test set and two systems it is the paired t-test of the examples' means over seeds.
    """
    fixed = replace(spread, seeds=0.0, interaction=0.0)
    if not np.isfinite(fixed.error):
        return 1.0
    return weigh(effect, fixed, expect, margin).support
