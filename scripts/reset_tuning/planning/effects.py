"""Which differences between two systems the planned samples can show.

A difference of two systems' macro-averages over test sets; each test set counts the same. Standard
deviations of one example's score are assumptions (resources/planning/sources.yaml) until scores are
there: the claims' own table (metrics/claims.csv) gives the effect that was detectable in the end.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from reset_tuning.planning.expectations import Expectations
from reset_tuning.stats.bootstrap import Spread
from reset_tuning.stats.hypotheses import minimum_detectable_effect

_INSTRUCTION = "instruction"
_MANY = 1e9  # degrees of freedom: Student's t is normal


def detectable_effects(
    expectations: Expectations, deviations: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Return the rows of the `detectable_effects` table.

    `deviations` holds the assumed standard deviation of an example's score by dataset kind, that of
    a system's mean over seeds, and the correlation of two systems' scores on one example.
    """
    kinds = {name: entry["kind"] for name, entry in expectations.experiment.datasets.items()}
    sizes = {name: rows.count for name, rows in expectations.evaluated().items()}
    context = [name for name in sizes if kinds[name] != _INSTRUCTION]
    groups = {
        "instruction following": [name for name in sizes if kinds[name] == _INSTRUCTION],
        "faithfulness, extractive": [name for name in context if kinds[name] == "extractive_qa"],
        "faithfulness, abstractive": [name for name in context if kinds[name] != "extractive_qa"],
        "faithfulness": context,
        "overall": list(sizes),
    }
    n_seeds = len(expectations.experiment.config["seeds"])
    asked = expectations.experiment.config["statistics"]
    found = partial(minimum_detectable_effect, level=asked["level"], power=asked["power"])
    return [
        {
            "quantity": quantity,
            "n_sets": len(names),
            "n": round(sum(sizes[name] for name in names)),
            **_effects(
                [(sizes[name], deviations["kinds"][kinds[name]]) for name in names],
                deviations["seed"], deviations["correlation"], n_seeds, found,
            ),
        }
        for quantity, names in groups.items()
        if names
    ]  # fmt: skip


def _effects(
    sets: Sequence[tuple[float, float]],
    seed_deviation: float,
    correlation: float,
    n_seeds: int,
    detectable: Callable[[Spread], float],
) -> dict[str, float | None]:
    """Return the effects that are found in as many cases and at the level that the config asks for.

    paired: the same examples for both systems, these very weights. unpaired: other examples for
    each. over_seeds: between trainings, from the noise of the seeds alone; null for one seed.
    """
    variance = sum(sd**2 / max(n, 1) for n, sd in sets) / len(sets) ** 2
    of_seeds = None
    if n_seeds > 1:
        between = 2 * seed_deviation**2 / n_seeds
        of_seeds = detectable(Spread(between, 0.0, 0.0, n_seeds - 1, _MANY))
    return {
        "paired": detectable(_of_examples(2 * (1 - correlation) * variance)),
        "unpaired": detectable(_of_examples(2 * variance)),
        "over_seeds": of_seeds,
    }


def _of_examples(variance: float) -> Spread:
    return Spread(0.0, variance, 0.0, 0, _MANY)
