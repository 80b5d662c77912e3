"""The paper's trade-off figures: three macro metrics before and after a second stage, as bars."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reset_tuning.errors import InputError
from reset_tuning.figures.style import (
    INTERVALS,
    STAGES,
    apply_style,
    draw_interval,
    say_hole,
    seeds_phrase,
    stage_legend,
)

_METRICS = {
    "instruction_following": "instruction\nfollowing",
    "faithfulness_extractive": "faithfulness,\nextractive sets",
    "faithfulness_abstractive": "faithfulness,\nabstractive sets",
}
_WIDTH = 0.26


def draw_tradeoff(table: pd.DataFrame, pipeline: str, title: str) -> Figure:
    """Draw one pipeline of the tradeoff table: means with intervals.

    A number that is missing is a gap with its reason. Raises InputError when the table has no rows
    of that pipeline.
    """
    rows = table[table["pipeline"] == pipeline]
    if rows.empty:
        raise InputError(f"the trade-off table has no pipeline {pipeline!r}; add it to `tradeoffs`")
    apply_style()
    figure = Figure(figsize=(7.4, 4.3), layout="constrained")
    axes = figure.subplots()
    rows = rows.set_index(["metric", "checkpoint"])
    for shift, (checkpoint, stage) in enumerate(STAGES.items()):
        for place, metric in enumerate(_METRICS):
            if (metric, checkpoint) in rows.index:  # it need not be evaluated at last
                row = rows.loc[metric, checkpoint]
                _draw_bar(axes, row, place + (shift - 1) * _WIDTH, stage.bar)
    axes.set_title(title, loc="left", fontweight="bold", pad=12)
    axes.set_xticks(range(len(_METRICS)), list(_METRICS.values()))
    axes.tick_params(axis="x", length=0)
    axes.grid(axis="x", visible=False)
    axes.set_ylim(0, 1.12)
    axes.set_ylabel("score, macro-average")
    stage_legend(axes)
    axes.set_xlabel(f"{seeds_phrase(rows)}; thin bars span {INTERVALS}", fontsize=9, labelpad=8)
    return figure


def _draw_bar(axes: Axes, row: pd.Series, place: float, look: dict) -> None:
    if pd.isna(row["mean"]):
        say_hole(axes, place, 0.02, row["note"])
        return
    axes.bar(place, row["mean"], width=_WIDTH * 0.92, **look)
    draw_interval(axes, place, row)
    axes.annotate(
        f"{row['mean']:.2f}",
        (place, max(row["mean"], row["high"])),
        xytext=(0, 3),
        textcoords="offset points",
        ha="center",
        fontsize=9,
    )
