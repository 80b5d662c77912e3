"""The paper's main table and its trade-off table."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import pandas as pd

from reset_tuning.stats.averages import (
    FAMILIES,
    MAIN_COLUMNS,
    TRADEOFF_COLUMNS,
    Column,
    Headlines,
    column_quantity,
)
from reset_tuning.stats.bootstrap import Bootstrap
from reset_tuning.stats.cells import NUMBERS, numbers_table
from reset_tuning.stats.panels import Panels
from reset_tuning.stats.quantities import Quantity, difference

SUFFIXES = {"mean": "", "sd": "_sd", "low": "_low", "high": "_high", "n": "_n"}
SUFFIXES |= {"n_failed": "_failed"}


def main_table(
    averages: pd.DataFrame,
    cells: pd.DataFrame,
    systems: Sequence[Mapping[str, str]],
    headlines: Headlines,
) -> pd.DataFrame:
    """Return one row per system in the order of `systems` ({label, run, checkpoint}).

    Columns: the macro-averages, then each family on each of its test sets. A system without
    scores is a row of nulls whose note has the reason.
    """
    headline = _headline_cells(cells, headlines)
    return pd.DataFrame([_system_row(averages, headline, system) for system in systems])


def _headline_cells(cells: pd.DataFrame, headlines: Headlines) -> pd.DataFrame:
    """Return the cells that stand in the main table, with their column <family>_<test set>."""
    found = []
    for family in FAMILIES[:3]:
        rows = cells[headlines.rows(cells, family)]
        found.append(rows.assign(column=family + "_" + rows["dataset"]))
    return pd.concat(found, ignore_index=True)


def _system_row(
    averages: pd.DataFrame, headline: pd.DataFrame, system: Mapping[str, str]
) -> dict[str, Any]:
    row: dict[str, Any] = {name: system[name] for name in ("label", "run", "checkpoint")}
    here = _of_system(averages, system).set_index("average")
    numbers = {column.name: _numbers(here, column.name) for column in MAIN_COLUMNS}
    cells = _of_system(headline, system).set_index("column")
    numbers |= {name: _numbers(cells, name) for name in headline["column"].drop_duplicates()}
    row["n_seeds"] = max(int(cell["n_seeds"]) for cell in numbers.values())
    for name, cell in numbers.items():
        row |= {name + suffix: cell[key] for key, suffix in SUFFIXES.items()}
    notes = [cell["note"] for cell in numbers.values() if isinstance(cell["note"], str)]
    if here.empty:
        notes = [f"{system['run']} is not evaluated at {system['checkpoint']}"]
    return row | {"note": _shortened(list(dict.fromkeys(notes)))}


def _shortened(notes: Sequence[str]) -> str | None:
    """Return the first note and how many more there are; every cell has its own in cells.csv."""
    if not notes:
        return None
    return notes[0] if len(notes) == 1 else f"{notes[0]} (and {len(notes) - 1} more)"


def _of_system(rows: pd.DataFrame, system: Mapping[str, str]) -> pd.DataFrame:
    return rows[(rows["run"] == system["run"]) & (rows["checkpoint"] == system["checkpoint"])]


def _numbers(rows: pd.DataFrame, name: str) -> Mapping[str, Any]:
    if name in rows.index:
        return rows.loc[name].to_dict()
    return dict.fromkeys(NUMBERS) | {"n_seeds": 0, "n": 0.0}


def tradeoff_table(
    panels: Panels,
    tradeoffs: Mapping[str, Mapping[str, str]],
    headlines: Headlines,
    settings: Bootstrap,
) -> pd.DataFrame:
    """Return the macro-averages of each pipeline's second stage before and after it.

    `tradeoffs` maps a pipeline to {label, run}. Rows: pipeline, metric, then start, best, last
    (where the run is evaluated), each with its change against the start, paired by seed and by
    example.
    """
    if not tradeoffs:
        return pd.DataFrame()
    identities, levels, changes = [], [], []
    for pipeline, spec in tradeoffs.items():
        for column in TRADEOFF_COLUMNS:
            for checkpoint in panels.checkpoints(spec["run"]):
                identities.append(
                    {"pipeline": pipeline, "label": spec["label"], "run": spec["run"]}
                    | {"checkpoint": checkpoint, "metric": column.name}
                )
                stage = (panels, spec["run"], checkpoint, column, headlines)
                levels.append(partial(column_quantity, *stage))
                changes.append(partial(_change, *stage))
    table = numbers_table(list(zip(identities, levels, strict=True)), settings)
    changed = numbers_table(list(zip(identities, changes, strict=True)), settings)
    is_start = table["checkpoint"] == "start"
    for name in ("mean", "sd", "low", "high"):
        column_name = "change_vs_start" if name == "mean" else f"change_{name}"
        table[column_name] = changed[name].where(~is_start)
    return table


def _change(
    panels: Panels, run: str, checkpoint: str, column: Column, headlines: Headlines
) -> Quantity:
    """Return how much a macro-average of a run differs from its start."""
    return difference(
        column_quantity(panels, run, checkpoint, column, headlines),
        column_quantity(panels, run, "start", column, headlines),
    )
