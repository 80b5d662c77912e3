"""Every number of the tables, once: systems x test sets x metrics, and systems x macro-averages.

The tables that people read are views of these two.
"""

import logging
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any

import pandas as pd

from reset_tuning.errors import InputError
from reset_tuning.stats.averages import COLUMNS, Headlines, column_quantity
from reset_tuning.stats.bootstrap import Bootstrap, Estimate, estimate
from reset_tuning.stats.panels import Panels
from reset_tuning.stats.quantities import Hole, Quantity

NUMBERS = ("n_seeds", "n", "n_failed", "mean", "sd", "low", "high", "seed_values", "note")
_LOGGER = logging.getLogger(__name__)
_HOLE: dict[str, Any] = {
    "n_seeds": 0,
    "n": 0.0,
    "mean": None,
    "sd": None,
    "low": None,
    "high": None,
    "seed_values": None,
}


def cells_table(panels: Panels, settings: Bootstrap) -> pd.DataFrame:
    """Return one row per system, test set, metric and scorer (table cells)."""
    kinds = {dataset.name: (dataset.kind, dataset.role) for dataset in panels.datasets}
    asked = []
    for run, checkpoint in panels.systems:
        for key in panels.keys:
            dataset, metric, scorer = key
            kind, role = kinds[dataset]
            identity = {
                "run": run,
                "checkpoint": checkpoint,
                "dataset": dataset,
                "kind": kind,
                "role": role,
                "metric": metric,
                "scorer": scorer,
            }
            asked.append((identity, partial(panels.mean, run, checkpoint, key)))
    return numbers_table(asked, settings)


def averages_table(panels: Panels, headlines: Headlines, settings: Bootstrap) -> pd.DataFrame:
    """Return one row per system and macro-average (table averages)."""
    asked = [
        (
            {"run": run, "checkpoint": checkpoint, "average": name},
            partial(column_quantity, panels, run, checkpoint, column, headlines),
        )
        for run, checkpoint in panels.systems
        for name, column in COLUMNS.items()
    ]
    return numbers_table(asked, settings)


def numbers_table(
    asked: list[tuple[Mapping[str, Any], Callable[[], Quantity]]], settings: Bootstrap
) -> pd.DataFrame:
    """Return a row for each identity with the numbers of its quantity, or why it has none."""
    rows: list[dict[str, Any]] = []
    places, quantities = [], []
    for identity, quantity in asked:
        try:
            found = quantity()
        except Hole as hole:
            rows.append(dict(identity) | _HOLE | {"n_failed": hole.failed, "note": str(hole)})
        else:
            places.append(len(rows))
            quantities.append(found)
            rows.append(dict(identity))
    for place, quantity, result in zip(
        places, quantities, estimate(quantities, settings), strict=True
    ):
        rows[place] |= numbers(quantity, result)
    return pd.DataFrame(rows)


def numbers(quantity: Quantity, result: Estimate) -> dict[str, Any]:
    """Return the columns NUMBERS of one quantity; no deviation below two seeds."""
    return {
        "n_seeds": result.n_seeds,
        "n": quantity.n,
        "n_failed": quantity.failed,
        "mean": result.mean,
        "sd": result.sd,
        "low": result.low,
        "high": result.high,
        "seed_values": " ".join(f"{value:.6g}" for value in quantity.values),
        "note": "; ".join(quantity.notes) or None,
    }


def refuse_holes(
    table: pd.DataFrame, name: str, strict: bool, expected: Collection[str] = ()
) -> None:
    """Warn of every number that is missing or rests on fewer seeds; InputError where `strict`.

    Holes for `expected` reasons are what the configuration asks for, and neither.
    """
    if table.empty:  # then it may have no columns either
        return
    notes = table["note"].dropna()
    notes = notes[~notes.isin(expected)]
    if notes.empty:
        return
    listed = "; ".join(dict.fromkeys(notes))
    _LOGGER.warning("%s: %d rows with holes: %s", name, len(notes), listed)
    if strict:
        raise InputError(
            f"{name} has {len(notes)} rows with holes, which statistics.strict does not allow: "
            f"{notes.iloc[0]}"
        )
