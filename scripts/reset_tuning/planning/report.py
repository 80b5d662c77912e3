"""The plan as text for the terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from reset_tuning.planning.text import aligned


def format_plan(table: pd.DataFrame, effects: Sequence[Mapping[str, Any]], note: str) -> str:
    """Return the plan's table and the detectable effects as aligned text, with a note."""
    columns = {
        "rule": list(table["rule"]),
        "jobs": [f"{value:,.0f}" for value in table["jobs"]],
        "hours": [_number(value) for value in table["hours"]],
        "GPU-hours": [_number(value) for value in table["gpu_hours"]],
        "node-hours": [_number(value) for value in table["node_hours"]],
        "tokens": [_short(value) for value in table["tokens"]],
        "requests": [_short(value) for value in table["requests"]],
        "on record": [_short(value) for value in table["recorded"]],
        "dollars": [_number(value) for value in table["dollars"]],
        "disk GB": [_number(value) for value in table["disk_gb"]],
        "basis": list(table["basis"]),
    }
    parts = ["\n".join(aligned(columns, left=("rule", "basis")))]
    if effects:
        heading = (
            "Smallest difference of two systems that is found with statistics.power "
            "at statistics.level, two-sided:"
        )
        parts.append("\n".join([heading, *aligned(_effect_columns(effects), left=("quantity",))]))
    return "\n\n".join([*parts, note]) + "\n"


def _effect_columns(effects: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    def numbers(name: str) -> list[str]:
        return ["-" if row[name] is None else f"{row[name]:.3f}" for row in effects]

    return {
        "quantity": [row["quantity"] for row in effects],
        "test sets": [str(row["n_sets"]) for row in effects],
        "examples": [f"{row['n']:,}" for row in effects],
        "paired": numbers("paired"),
        "unpaired": numbers("unpaired"),
        "over seeds": numbers("over_seeds"),
    }


def _number(value: float) -> str:
    """Return a number with two digits or more, and a dash for zero."""
    if not value:
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.2g}" if value < 10 else f"{value:.1f}"


def _short(value: float | None) -> str:
    """Return a large number with its unit, as 1.2 G, and nothing where there is none."""
    if value is None or pd.isna(value):
        return ""
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.0f}"
