"""The paper's trade-off figures: three macro metrics before and after a second stage."""

from dataclasses import dataclass
from statistics import fmean

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reset_tuning.errors import InputError
from reset_tuning.figures.style import BLUE, GREEN, VERMILION, apply_style

_CHECKPOINTS = {"start": "before", "best": "after\n(best checkpoint)", "last": "after\n(last step)"}
_LABEL_GAP = 0.062  # smallest distance of two line labels, in units of the score axis


@dataclass(frozen=True)
class _Line:
    metric: str
    label: str
    colour: str
    marker: str
    shift: float  # along x, so that error bars of equal values stay apart


_LINES = (
    _Line("instruction_following", "instruction following", BLUE, "o", -0.045),
    _Line("faithfulness_extractive", "faithfulness, extractive", VERMILION, "s", 0.0),
    _Line("faithfulness_abstractive", "faithfulness, abstractive", GREEN, "^", 0.045),
)


def draw_tradeoff(table: pd.DataFrame, pipeline: str, title: str) -> Figure:
    """Draw one pipeline of the tradeoff table: mean, deviation over seeds and each seed's value.

    Raises InputError when the table has no rows of that pipeline.
    """
    rows = table[table["pipeline"] == pipeline]
    if rows.empty:
        raise InputError(f"the trade-off table has no pipeline {pipeline!r}; add it to `tradeoffs`")
    apply_style()
    figure = Figure(figsize=(7.4, 4.3), layout="constrained")
    axes = figure.subplots()
    ends = {}
    for line in _LINES:
        series = rows[rows["metric"] == line.metric].set_index("checkpoint").reindex(_CHECKPOINTS)
        _draw_line(axes, series, line)
        ends[line] = series["mean"].dropna()
    _label_ends(axes, ends)
    _finish(axes, rows, title)
    return figure


def _draw_line(axes: Axes, series: pd.DataFrame, line: _Line) -> None:
    places = [place + line.shift for place in range(len(series))]
    axes.errorbar(
        places,
        series["mean"],
        yerr=series["sd"],
        color=line.colour,
        marker=line.marker,
        markersize=8,
        linewidth=2,
        elinewidth=1.4,
        capsize=4,
    )
    for place, n_seeds, values in zip(
        places, series["n_seeds"], series["seed_values"], strict=True
    ):
        if n_seeds > 1:
            seeds = [float(value) for value in values.split()]
            axes.scatter(
                [place + 0.09] * len(seeds),
                seeds,
                s=14,
                color=line.colour,
                alpha=0.55,
                linewidths=0,
            )


def _label_ends(axes: Axes, ends: dict[_Line, pd.Series]) -> None:
    """Name each line beside its last value, moving labels apart that would overlap."""
    last = {line: float(values.iloc[-1]) for line, values in ends.items() if len(values)}
    drawn = sorted(last, key=lambda line: last[line])
    heights = spread([last[line] for line in drawn], _LABEL_GAP)
    for height, line in zip(heights, drawn, strict=True):
        axes.annotate(
            line.label,
            (len(_CHECKPOINTS) - 1 + 0.2, height),
            color=line.colour,
            va="center",
            fontweight="bold",
            fontsize=10,
            annotation_clip=False,
        )


def spread(heights: list[float], gap: float) -> list[float]:
    """Return ascending heights moved apart to at least `gap`, each group around its own middle."""
    groups: list[list[float]] = []
    for place, height in enumerate(heights):
        # Less what the gaps before it take up, heights must only not descend: pool those that do.
        groups.append([height - place * gap])
        while len(groups) > 1 and fmean(groups[-2]) > fmean(groups[-1]):
            groups[-2:] = [groups[-2] + groups[-1]]
    levels = [fmean(group) for group in groups for _ in group]
    return [level + place * gap for place, level in enumerate(levels)]


def _finish(axes: Axes, rows: pd.DataFrame, title: str) -> None:
    axes.set_title(title, loc="left", fontweight="bold", pad=12)
    axes.set_xticks(range(len(_CHECKPOINTS)), list(_CHECKPOINTS.values()))
    axes.tick_params(axis="x", length=0)
    axes.grid(axis="x", visible=False)
    axes.set_xlim(-0.3, len(_CHECKPOINTS) - 0.8)
    axes.set_ylim(-0.03, 1.03)
    axes.set_ylabel("score, macro-average")
    n_seeds = int(rows["n_seeds"].max())
    several = f"{n_seeds} seeds: mean, standard deviation (bars) and each seed (small dots)"
    axes.set_xlabel(several if n_seeds > 1 else "one seed, no deviation", fontsize=9, labelpad=8)
