"""The training histories: loss and validation perplexity against step, one panel per run."""

import math

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from reset_tuning.errors import InputError
from reset_tuning.figures.style import CYCLE, INK, apply_style

_PANELS_PER_ROW = 3
_MARKERS = "osD^vP"
_TRAINING = {"linestyle": "--", "marker": "x", "markersize": 4}
_COLUMNS = {"perplexity": "perplexity", "loss": "eval_loss"}
_LABELS = {"perplexity": "validation perplexity", "loss": "loss (nats a token)"}


def draw_trajectories(table: pd.DataFrame, quantity: str = "perplexity") -> Figure:
    """Draw the trajectories table: a line per seed, its chosen step circled.

    `quantity` is perplexity (validation) or loss (validation, and dashed the training's own).
    Raises InputError for a table without rows.
    """
    if table.empty:
        raise InputError("the trajectories table has no rows, so there is nothing to draw")
    apply_style()
    runs = sorted(table["run"].unique())
    seeds = sorted(table["seed"].unique())
    across = min(_PANELS_PER_ROW, len(runs))
    down = math.ceil(len(runs) / across)
    figure = Figure(figsize=(max(3.6 * across, 5.4), 2.7 * down + 0.6), layout="constrained")
    panels = figure.subplots(down, across, squeeze=False).flatten()
    for panel, run in zip(panels, runs, strict=False):
        _draw_run(panel, table[table["run"] == run], seeds, run, quantity)
    for panel in panels[len(runs) :]:
        panel.set_visible(False)
    figure.supxlabel("optimisation step", fontsize=11)
    figure.supylabel(_LABELS[quantity], fontsize=11)
    figure.legend(
        handles=_legend(seeds, quantity),
        loc="outside upper center",
        ncols=len(seeds) + 2,
        fontsize=10,
    )
    return figure


def _draw_run(axes: Axes, rows: pd.DataFrame, seeds: list[int], run: str, quantity: str) -> None:
    column = _COLUMNS[quantity]
    for place, seed in enumerate(seeds):
        line = rows[rows["seed"] == seed].sort_values("step")
        colour, marker = _look(place)
        axes.plot(
            line["step"], line[column], color=colour, marker=marker, markersize=3.5, linewidth=1.5
        )
        if quantity == "loss":
            # The marker shows what is there of a run with a single evaluation.
            axes.plot(line["step"], line["train_loss"], color=colour, linewidth=1, **_TRAINING)
        chosen = line[line["chosen"]]
        axes.plot(
            chosen["step"],
            chosen[column],
            linestyle="none",
            marker="o",
            markersize=11,
            markerfacecolor="none",
            markeredgecolor=colour,
            markeredgewidth=1.8,
        )
    axes.set_title(run, fontsize=11, fontweight="bold", loc="left")
    axes.margins(x=0.08, y=0.15)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.ticklabel_format(useOffset=False)
    axes.tick_params(labelsize=9)


def _legend(seeds: list[int], quantity: str) -> list[Line2D]:
    handles = []
    for place, seed in enumerate(seeds):
        colour, marker = _look(place)
        handles.append(Line2D([], [], color=colour, marker=marker, label=f"seed {seed}"))
    chosen = {"marker": "o", "markersize": 10, "markerfacecolor": "none", "markeredgecolor": INK}
    handles.append(Line2D([], [], linestyle="none", label="chosen (best)", **chosen))
    if quantity == "loss":
        handles.append(Line2D([], [], color=INK, label="training", **_TRAINING))
    return handles


def _look(place: int) -> tuple[str, str]:
    return CYCLE[place % len(CYCLE)], _MARKERS[place % len(_MARKERS)]
