"""How sure a number is: a hierarchical bootstrap over seeds and examples, fit for three seeds.

Two things vary from one repetition of an experiment to the next: the trainings (seeds) and the test
examples. All seeds answer the same examples, so the two are crossed:

    variance = seed component + example component
    example component   estimated from the examples' means over seeds
    seed component      variance of the seeds' values / seeds, less what that variance owes to the
                        same examples being answered differently by chance (their interaction)

Every draw takes the test examples anew with replacement, the same ones for all seeds and systems,
and a shift for the seeds. Three seeds cannot be resampled: there are only ten different samples of
them, they miss a third of the variance, and the share of 95 % intervals that hold the truth falls
to about 76 % when the seeds decide. So the seeds' shift is drawn from a normal distribution with
the seed component as its variance, and the quantiles' distances from the estimate are stretched
from the normal's to a mean of Student's quantiles, weighed by the components (Cochran and Cox):
1.96 when the examples decide and 4.30, that of three seeds, when the seeds do. Satterthwaite's
degrees of freedom in place of that weighing leave 89 to 92 % where three seeds agree by chance.

Of the interaction two thirds are subtracted: with all of it, intervals are too short when seeds
matter somewhat, with none of it too long when they do not. docs/results.md has the shares of 95 %
intervals that hold the truth, 93 to 97 % for three seeds. p-values must hold at levels far below
5 % too, where several claims are adjusted: hypotheses.py takes the seeds' variance whole.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri, stdtridf, stdtrit

from reset_tuning.seeds import draw_seed
from reset_tuning.stats.quantities import Array, Quantity

INTERACTION_SHARE = 2 / 3  # subtracted from the seeds' variance (module docstring)
_CHUNK_NUMBERS = 1_000_000  # weights that are held at once


@dataclass(frozen=True)
class Bootstrap:
    """Settings of the bootstrap, as in the config's `statistics`."""

    draws: int = 10_000
    seed: int = 1
    level: float = 0.95


@dataclass(frozen=True)
class Spread:
    """The variance of a quantity: of the seeds, of the examples, and their degrees of freedom.

    `seeds` is the seed component, `between` the variance of the seeds' values / seeds it is taken
    from; `degrees` are those of an interval.
    """

    seeds: float
    examples: float
    degrees: float
    example_degrees: float
    between: float = 0.0
    seed_degrees: int = 0

    @property
    def error(self) -> float:
        """The standard error over repetitions with other seeds and other examples."""
        return float(np.sqrt(self.seeds + self.examples))


@dataclass(frozen=True)
class Estimate:
    """A quantity with its interval and what tests need."""

    mean: float
    sd: float
    low: float
    high: float
    n_seeds: int
    spread: Spread


def spread(quantity: Quantity, level: float = 0.95) -> Spread:
    """Return the variance components of a quantity and its degrees of freedom at a level."""
    n_seeds = len(quantity.values)
    examples, interaction, example_degrees = _example_variance(quantity.influences, n_seeds)
    between = float(quantity.values.var(ddof=1)) / n_seeds if n_seeds > 1 else 0.0
    seeds = max(between - INTERACTION_SHARE * interaction, 0.0)
    degrees = _degrees(seeds, examples, n_seeds - 1, example_degrees, level)
    return Spread(seeds, examples, degrees, example_degrees, between, n_seeds - 1)


def _degrees(
    seeds: float, examples: float, seed_degrees: int, example_degrees: float, level: float
) -> float:
    """Return the degrees of freedom of the weighted mean of both components' quantiles."""
    if seeds == 0:
        return example_degrees
    if examples == 0:
        return seed_degrees
    tail = (1 + level) / 2
    weight = seeds / (seeds + examples)
    quantile = weight * stdtrit(seed_degrees, tail) + (1 - weight) * stdtrit(example_degrees, tail)
    return min(float(stdtridf(tail, quantile)), example_degrees)


def _example_variance(influences: Mapping[str, Array], n_seeds: int) -> tuple[float, float, float]:
    """Return the example component, the interaction's part of the seeds' and degrees of freedom."""
    parts, interaction = [], 0.0
    for array in influences.values():
        n = array.shape[1]
        if n < 2:
            continue
        centred = array - array.mean(axis=1, keepdims=True)
        mean = centred.mean(axis=0)
        parts.append((float(mean @ mean) / (n * (n - 1)), n - 1))
        if n_seeds > 1:
            rest = centred - mean
            interaction += float((rest * rest).sum()) / ((n_seeds - 1) * (n - 1) * n_seeds * n)
    total = sum(variance for variance, _ in parts)
    if total == 0:
        return 0.0, interaction, np.inf
    inverse = sum((variance / total) ** 2 / degrees for variance, degrees in parts)
    return total, interaction, 1 / inverse


def estimate(quantities: Sequence[Quantity], settings: Bootstrap) -> list[Estimate]:
    """Return every quantity with its interval; all share the draws of examples.

    The draws of a test set depend on its name, its size and the seed alone: another system,
    test set or claim leaves an interval as it was.
    """
    drawn = _example_shifts(quantities, settings)
    generator = np.random.default_rng(draw_seed(settings.seed, "", "bootstrap of seeds"))
    shift = generator.standard_normal(settings.draws)
    tails = np.array([(1 - settings.level) / 2, (1 + settings.level) / 2])
    estimates = []
    for column, quantity in enumerate(quantities):
        found = spread(quantity, settings.level)
        shifts = drawn[:, column] + np.sqrt(found.seeds) * shift
        stretch = stdtrit(found.degrees, tails[1]) / ndtri(tails[1])
        ends = quantity.mean + stretch * np.quantile(shifts, tails)
        low, high = np.clip(ends, *quantity.within)  # no mean of rates is above 1
        estimates.append(
            Estimate(quantity.mean, quantity.sd, low, high, len(quantity.values), found)
        )
    return estimates


def _example_shifts(quantities: Sequence[Quantity], settings: Bootstrap) -> Array:
    """Return how far every draw of examples moves every quantity: an array (draws, quantities)."""
    shifts = np.zeros((settings.draws, len(quantities)))
    sizes = {
        name: array.shape[1]
        for quantity in quantities
        for name, array in quantity.influences.items()
    }
    for name, n in sorted(sizes.items()):
        columns = [i for i, quantity in enumerate(quantities) if name in quantity.influences]
        means = [quantities[i].influences[name].mean(axis=0) for i in columns]
        centred = np.stack([mean - mean.mean() for mean in means], axis=1) / n
        generator = np.random.default_rng(draw_seed(settings.seed, name, "bootstrap of examples"))
        step = max(1, _CHUNK_NUMBERS // n)
        for start in range(0, settings.draws, step):
            rows = slice(start, min(start + step, settings.draws))
            shifts[rows, columns] += example_weights(generator, rows.stop - start, n) @ centred
    return shifts


def example_weights(generator: np.random.Generator, draws: int, n: int) -> Array:
    """Return how often each of n examples is in each of `draws` samples with replacement."""
    taken = generator.integers(0, n, (draws, n))
    taken += np.arange(draws)[:, None] * n
    return np.bincount(taken.ravel(), minlength=draws * n).reshape(draws, n).astype(float)
