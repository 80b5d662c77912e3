"""Averages over seeds: mean, sample standard deviation and the change from the start of a stage."""

from dataclasses import dataclass

import pandas as pd

from reset_tuning.stats.points import SOURCE


@dataclass(frozen=True)
class SeedSummary:
    """One number over the independent evaluations behind it; n and failed are per evaluation."""

    n_seeds: int
    mean: float
    sd: float
    n: float
    failed: float
    values: tuple[float, ...]


def over_seeds(averages: pd.DataFrame) -> SeedSummary:
    """Summarise one number at one run and checkpoint (rows of `macro_averages`, one per seed).

    Seeds that share one source are one evaluation: its repetition is no deviation (the paper: a
    zero-shot model has none). The mean is null if any seed's value is, the sd below two values.
    """
    rows = averages.sort_values("seed").drop_duplicates(SOURCE)
    return SeedSummary(
        n_seeds=len(rows),
        mean=rows["value"].mean(skipna=False),
        sd=rows["value"].std(ddof=1, skipna=False),
        n=rows["n"].mean(),
        failed=rows["failed"].mean(),
        values=tuple(rows["value"]),
    )


def change_over_seeds(before: pd.DataFrame, after: pd.DataFrame) -> tuple[float, float]:
    """Return mean and sample standard deviation over seeds of after - before, paired by seed."""
    pairs = before.merge(after, on="seed", suffixes=("_before", "_after"), validate="one_to_one")
    change = pairs["value_after"] - pairs["value_before"]
    return change.mean(skipna=False), change.std(ddof=1, skipna=False)
