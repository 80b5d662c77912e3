"""Scores of one run at start, best and last, test set by test set."""

import math
from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from reset_tuning.figures.style import (
    INTERVALS,
    apply_style,
    draw_interval,
    empty_figure,
    look,
    seeds_phrase,
)

_CHECKPOINTS = {"start": "before", "best": "best", "last": "last"}
_ACROSS = 2
_NAMES = {
    "span_coverage": "faithfulness (span coverage)",
    "unigram_coverage": "unigram coverage",
    "bigram_coverage": "bigram coverage",
    "exact_match": "exact match",
    "summac_zs_entailment": "SummaC-ZS (entailment)",
    "summac_zs": "SummaC-ZS (package default)",
    "rouge_l": "ROUGE-L",
    "instruction_following": "instruction following",
    "n_tokens": "answer length (tokens)",
}


def draw_stage(cells: pd.DataFrame, run: str, metrics: Sequence[str], title: str) -> Figure:
    """Draw a panel per metric and a line per test set, with intervals.

    `cells` are rows of that table for one run, judge and kind of data; the checkpoints that it
    lacks are gaps.
    """
    rows = cells[(cells["run"] == run) & cells["metric"].isin(metrics)].dropna(subset="mean")
    if rows.empty:
        return empty_figure(f"{run} has no such scores in this experiment", title)
    apply_style()
    shown = [metric for metric in metrics if metric in set(rows["metric"])]
    across = min(_ACROSS, len(shown))
    down = math.ceil(len(shown) / across)
    figure = Figure(figsize=(4.1 * across + 1.6, 2.9 * down + 0.5), layout="constrained")
    panels = figure.subplots(down, across, squeeze=False).flatten()
    datasets = list(dict.fromkeys(rows["dataset"]))
    for panel, metric in zip(panels, shown, strict=False):
        _draw_metric(panel, rows[rows["metric"] == metric], datasets, metric)
    for panel in panels[len(shown) :]:
        panel.set_visible(False)
    figure.suptitle(title, x=0.01, ha="left", fontweight="bold", fontsize=12)
    figure.supxlabel(f"{seeds_phrase(rows)}; bars span {INTERVALS}", fontsize=9)
    _legend(figure, rows, datasets)
    return figure


def _draw_metric(axes: Axes, rows: pd.DataFrame, datasets: Sequence[str], metric: str) -> None:
    spread = 0.06
    for place, dataset in enumerate(datasets):
        style = look(place)
        line = rows[rows["dataset"] == dataset].set_index("checkpoint").reindex(_CHECKPOINTS)
        shift = (place - (len(datasets) - 1) / 2) * spread
        places = [number + shift for number in range(len(_CHECKPOINTS))]
        axes.plot(places, line["mean"], markersize=6, linewidth=1.6, **style)
        for x, (_, row) in zip(places, line.iterrows(), strict=True):
            if not pd.isna(row["mean"]):
                draw_interval(axes, x, row, color=style["color"])
    axes.set_title(_NAMES.get(metric, metric), fontsize=10, loc="left")
    axes.set_xticks(range(len(_CHECKPOINTS)), list(_CHECKPOINTS.values()))
    axes.set_xlim(-0.3, len(_CHECKPOINTS) - 0.7)
    axes.grid(axis="x", visible=False)
    if metric == "n_tokens":
        axes.set_ylim(bottom=0)
    elif metric != "summac_zs":
        axes.set_ylim(-0.03, 1.03)


def _legend(figure: Figure, rows: pd.DataFrame, datasets: Sequence[str]) -> None:
    roles = dict(zip(rows["dataset"], rows["role"], strict=True))
    handles = [Line2D([], [], label=name, **look(place)) for place, name in enumerate(datasets)]
    legend = figure.legend(
        handles=handles, loc="outside right upper", fontsize=9, title="unseen in italics"
    )
    legend.get_title().set_fontsize(8)
    for text in legend.get_texts():
        text.set_fontstyle("italic" if roles[text.get_text()] == "unseen" else "normal")
