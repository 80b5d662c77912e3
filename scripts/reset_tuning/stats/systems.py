"""The paper's main table and its trade-off table."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from reset_tuning.stats.averages import (
    MAIN_COLUMNS,
    TRADEOFF_COLUMNS,
    Column,
    Headlines,
    datasets_of,
    macro_averages,
)
from reset_tuning.stats.points import expand_points, points_of
from reset_tuning.stats.seeds import change_over_seeds, over_seeds

CHECKPOINTS = ("start", "best", "last")


def main_table(
    scores: pd.DataFrame,
    systems: Sequence[Mapping[str, str]],
    points: pd.DataFrame,
    headlines: Headlines,
) -> pd.DataFrame:
    """Return one row per system in the order of `systems` ({label, run, checkpoint}).

    Raises InputError when a system has no evaluation for a seed or lacks a test set's scores.
    """
    datasets = datasets_of(scores)
    return pd.DataFrame(
        [_system_row(scores, datasets, system, points, headlines) for system in systems]
    )


def _system_row(
    scores: pd.DataFrame,
    datasets: pd.DataFrame,
    system: Mapping[str, str],
    points: pd.DataFrame,
    headlines: Headlines,
) -> dict[str, Any]:
    here = points_of(points, system["run"], system["checkpoint"])
    rows = expand_points(scores, here)
    row: dict[str, Any] = {name: system[name] for name in ("label", "run", "checkpoint")}
    for column in MAIN_COLUMNS:
        summary = over_seeds(macro_averages(rows, datasets, column, headlines))
        row |= {
            "n_seeds": summary.n_seeds,
            column.name: summary.mean,
            f"{column.name}_sd": summary.sd,
            f"{column.name}_n": summary.n,
            f"{column.name}_failed": summary.failed,
        }
    return row


def tradeoff_table(
    scores: pd.DataFrame,
    tradeoffs: Mapping[str, Mapping[str, str]],
    points: pd.DataFrame,
    headlines: Headlines,
) -> pd.DataFrame:
    """Return the macro-averages of each pipeline's second stage before and after it.

    `tradeoffs` maps a pipeline to {label, run}. Rows: pipeline, metric, then start, best, last.
    Raises InputError as `main_table` does.
    """
    datasets = datasets_of(scores)
    rows: list[dict[str, Any]] = []
    for pipeline, spec in tradeoffs.items():
        here = pd.concat([points_of(points, spec["run"], name) for name in CHECKPOINTS])
        expanded = expand_points(scores, here)
        identity = {"pipeline": pipeline, "label": spec["label"], "run": spec["run"]}
        for column in TRADEOFF_COLUMNS:
            rows += [identity | row for row in _stage_rows(expanded, datasets, column, headlines)]
    return pd.DataFrame(rows)


def _stage_rows(
    scores: pd.DataFrame, datasets: pd.DataFrame, column: Column, headlines: Headlines
) -> list[dict[str, Any]]:
    averages = macro_averages(scores, datasets, column, headlines)
    at = {name: averages[averages["checkpoint"] == name] for name in CHECKPOINTS}
    rows = []
    for name, values in at.items():
        summary = over_seeds(values)
        mean, sd = (None, None) if name == "start" else change_over_seeds(at["start"], values)
        rows.append(
            {
                "checkpoint": name,
                "metric": column.name,
                "n_seeds": summary.n_seeds,
                "mean": summary.mean,
                "sd": summary.sd,
                "change_vs_start": mean,
                "change_sd": sd,
                "n": summary.n,
                "n_failed": summary.failed,
                "seed_values": " ".join(f"{value:.6g}" for value in summary.values),
            }
        )
    return rows
