"""Which training examples are sampled: a random part of every set."""

import heapq
import logging
from collections.abc import Iterable

import pandas as pd

from reset_tuning.errors import InputError
from reset_tuning.seeds import draw_fraction

COLUMNS = ("set", "example_id", "copy")  # what the choice depends on


def pool_examples(
    mixture: Iterable[pd.DataFrame], examples_per_set: int, run_seed: int
) -> dict[str, set[str]]:
    """Return the ids of a random subset of every set: at most `examples_per_set` of each.

    `mixture` yields parts of the mixture table (COLUMNS); up-sampled copies are left out. An
    example's place in the random order is its own and the run seed's, so a smaller pool is part of
    a larger one. Memory holds the chosen ids and not the mixture.
    """
    lowest: dict[str, list[tuple[float, str]]] = {}
    for part in mixture:
        for name, rows in part[part["copy"] == 0].groupby("set"):
            places = [(draw_fraction(run_seed, row, "pool"), row) for row in rows["example_id"]]
            found = lowest.get(name, [])
            lowest[name] = heapq.nsmallest(examples_per_set, found + places)
    if not lowest:
        raise InputError("the mixture has no original rows (copy 0), so there is nothing to sample")
    for name, places in lowest.items():
        if len(places) < examples_per_set:
            logging.warning(
                "set %s has only %d of %d examples", name, len(places), examples_per_set
            )
    return {name: {example for _, example in places} for name, places in lowest.items()}
