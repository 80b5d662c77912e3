"""Which training examples are sampled: a random part of every set."""

import logging

import pandas as pd

from reset_tuning.errors import InputError
from reset_tuning.seeds import draw_fraction


def pool_examples(mixture: pd.DataFrame, examples_per_set: int, run_seed: int) -> pd.DataFrame:
    """Return a random subset of the examples of every set: at most `examples_per_set` of each.

    `mixture` holds rows of the mixture table; up-sampled copies are left out. The order within a
    set is a property of each example and the run's seed, so a smaller pool is part of a larger one.
    """
    originals = mixture[mixture["copy"] == 0]
    if originals.empty:
        raise InputError("the mixture has no original rows (copy 0), so there is nothing to sample")
    place = originals["example_id"].map(lambda name: draw_fraction(run_seed, name, "pool"))
    ordered = originals.assign(place=place).sort_values(["set", "place", "example_id"])
    pool = ordered.groupby("set", sort=False).head(examples_per_set).drop(columns="place")
    for name, size in pool["set"].value_counts(sort=False).items():
        if size < examples_per_set:
            logging.warning("set %s has only %d of %d examples", name, size, examples_per_set)
    return pool.reset_index(drop=True)
