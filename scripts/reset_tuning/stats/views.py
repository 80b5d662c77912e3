"""Tables that show a part of metrics/cells.csv: checkpoints, lengths, supplementary metrics."""

from collections.abc import Mapping, Sequence

import pandas as pd

from reset_tuning.stats.averages import FAMILIES, Headlines
from reset_tuning.stats.panels import LENGTH_METRIC
from reset_tuning.stats.points import CHECKPOINTS

SYSTEM = ["run", "checkpoint"]


def checkpoint_scores(cells: pd.DataFrame, runs: Sequence[str]) -> pd.DataFrame:
    """Return start, best and last of the runs that are evaluated at several checkpoints."""
    rows = cells[(cells["metric"] != LENGTH_METRIC) & cells["run"].isin(runs)]
    several = rows.groupby("run")["checkpoint"].transform("nunique") > 1
    return _in_order(rows[several], runs)


def answer_lengths(cells: pd.DataFrame, runs: Sequence[str]) -> pd.DataFrame:
    """Return the lengths in tokens of every system's answers, run by run."""
    return _in_order(cells[cells["metric"] == LENGTH_METRIC], runs)


def coverage(
    cells: pd.DataFrame, systems: Sequence[Mapping[str, str]], headlines: Headlines
) -> pd.DataFrame:
    """Return the metrics beside the headlines (coverages, variants of SummaC, other judges).

    Rows of the main table's systems only, in its order.
    """
    headline = pd.Series(False, index=cells.index)
    for family in FAMILIES:
        headline |= headlines.rows(cells, family)
    rows = cells[~headline & (cells["metric"] != LENGTH_METRIC)]
    place = {(system["run"], system["checkpoint"]): i for i, system in enumerate(systems)}
    places = [place.get(pair, -1) for pair in rows[SYSTEM].itertuples(index=False, name=None)]
    rows = rows.assign(place=places)
    return rows[rows["place"] >= 0].sort_values("place", kind="stable").drop(columns="place")


def _in_order(rows: pd.DataFrame, runs: Sequence[str]) -> pd.DataFrame:
    """Order rows by run as in the config, then start, best, last."""
    runs = [*runs, *sorted(set(rows["run"]) - set(runs))]
    place = rows["run"].map(runs.index) * len(CHECKPOINTS)
    place += rows["checkpoint"].map(CHECKPOINTS.index)
    return rows.assign(place=place).sort_values("place", kind="stable").drop(columns="place")
