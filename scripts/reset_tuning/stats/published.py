"""The paper's known numbers beside those of this run."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd


def published_vs_measured(
    published: pd.DataFrame,
    averages: pd.DataFrame,
    systems: Sequence[Mapping[str, str]],
    models: Mapping[str, str],
) -> pd.DataFrame:
    """Return each published number with ours, its interval and whether they agree.

    `published` is the table of that name, `systems` are the rows of the main table, by whose labels
    its rows are found, and `models` maps a run to what it started from. A published number agrees
    when it lies in our interval: it has none of its own.
    """
    by_label = {system["label"]: system for system in systems}
    rows = [_row(row, averages, by_label, models) for row in published.to_dict("records")]
    return pd.DataFrame(rows)


def _row(
    row: Mapping[str, Any],
    averages: pd.DataFrame,
    systems: Mapping[str, Mapping[str, str]],
    models: Mapping[str, str],
) -> dict[str, Any]:
    system = systems.get(row["label"])
    found = _measured(averages, system, row["average"])
    remark = row["remark"] if isinstance(row["remark"], str) else None
    shared = {name: row[name] for name in ("label", "average", "published", "status", "source")}
    if system is None or found is None:
        missing = f"no system {row['label']!r} in tables.main"
        reason = missing if system is None else f"no average {row['average']!r}"
        return shared | _nothing(reason)
    if pd.isna(found["mean"]):
        return shared | _nothing(str(found["note"])) | {"model": models[system["run"]]}
    return shared | {
        "measured": found["mean"],
        "low": found["low"],
        "high": found["high"],
        "n_seeds": int(found["n_seeds"]),
        "difference": found["mean"] - row["published"],
        "verdict": _verdict(row["published"], found["low"], found["high"]),
        "model": models[system["run"]],
        "note": remark,
    }


def _measured(
    averages: pd.DataFrame, system: Mapping[str, str] | None, average: str
) -> Mapping[str, Any] | None:
    if system is None:
        return None
    rows = averages[
        (averages["run"] == system["run"])
        & (averages["checkpoint"] == system["checkpoint"])
        & (averages["average"] == average)
    ]
    return None if rows.empty else rows.iloc[0].to_dict()


def _nothing(reason: str) -> dict[str, Any]:
    numbers = dict.fromkeys(("measured", "low", "high", "difference", "model"))
    return numbers | {"n_seeds": 0, "verdict": "not measured", "note": reason}


def _verdict(published: float, low: float, high: float) -> str:
    if low <= published <= high:
        return "agrees"
    return "higher" if low > published else "lower"
