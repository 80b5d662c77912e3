"""Figures about the length of answers: by system, length splits, and length against rating."""

import math
from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reset_tuning.figures.style import (
    BLUE,
    INTERVALS,
    STAGES,
    apply_style,
    draw_interval,
    empty_figure,
    look,
    say_hole,
    seeds_phrase,
    stage_legend,
)

_LENGTHS_TITLE = "Length of the answers"
_BIAS_TITLE = "Rating of instruction answers by their length"
_WIDTH = 0.27


def draw_lengths(lengths: pd.DataFrame, labels: Mapping[tuple[str, str], str]) -> Figure:
    """Draw mean tokens of every system on every test set (rows of answer_lengths.csv).

    `labels` names the systems of the main table by (run, checkpoint).
    """
    rows = lengths.dropna(subset="mean")
    if rows.empty:
        return empty_figure("no lengths were measured", _LENGTHS_TITLE)
    apply_style()
    found = dict.fromkeys(zip(rows["run"], rows["checkpoint"], strict=True))
    systems = [system for system in labels if system in found]
    systems += [system for system in found if system not in labels]
    datasets = list(dict.fromkeys(rows["dataset"]))
    across = min(3, len(datasets))
    down = math.ceil(len(datasets) / across)
    height = (0.19 * len(systems) + 0.6) * down + 0.6
    figure = Figure(figsize=(3.0 * across + 2.4, height), layout="constrained")
    panels = figure.subplots(down, across, squeeze=False, sharey=True).flatten()
    for panel, dataset in zip(panels, datasets, strict=False):
        _draw_dots(panel, rows[rows["dataset"] == dataset], systems, dataset)
    for panel in panels[len(datasets) :]:
        panel.set_visible(False)
    names = [labels.get(system, f"{system[0]}, {system[1]}") for system in systems]
    panels[0].set_yticks(range(len(systems)), names, fontsize=8)
    panels[0].invert_yaxis()
    figure.suptitle(_LENGTHS_TITLE, x=0.01, ha="left", fontweight="bold", fontsize=12)
    figure.supxlabel(f"tokens, {seeds_phrase(rows)}; bars span {INTERVALS}", fontsize=9)
    return figure


def _draw_dots(
    axes: Axes, rows: pd.DataFrame, systems: Sequence[tuple[str, str]], name: str
) -> None:
    for _, row in rows.iterrows():
        place = systems.index((row["run"], row["checkpoint"]))
        draw_interval(axes, place, row, horizontal=True, color=BLUE)
        axes.plot(row["mean"], place, marker="o", markersize=4.5, color=BLUE)
    axes.set_title(name, fontsize=10, loc="left", fontstyle=_style_of(rows["role"].iloc[0]))
    axes.set_xlim(left=0)
    axes.tick_params(labelsize=8)


def _style_of(role: str) -> str:
    return "italic" if role == "unseen" else "normal"


def draw_length_split(table: pd.DataFrame, pipeline: str, title: str) -> Figure:
    """Draw one pipeline of length_split.csv: scores in bins of length, with the outputs in each."""
    rows = table[(table["pipeline"] == pipeline) & (table["quantity"] == "score")]
    rows = rows[rows["bin"] != "all"]
    if rows.empty:
        return empty_figure(f"{pipeline} has no scores by length", title)
    apply_style()
    figure = Figure(figsize=(7.4, 4.3), layout="constrained")
    axes = figure.subplots()
    bins = list(dict.fromkeys(rows["bin"]))
    for shift, (checkpoint, stage) in enumerate(STAGES.items()):
        for _, row in rows[rows["checkpoint"] == checkpoint].iterrows():
            _draw_bin(axes, row, bins.index(row["bin"]) + (shift - 1) * _WIDTH, stage.bar)
    axes.set_title(title, loc="left", fontweight="bold", pad=12)
    axes.set_xticks(range(len(bins)), [f"{name}\ntokens" for name in bins])
    axes.tick_params(axis="x", length=0)
    axes.grid(axis="x", visible=False)
    axes.set_ylim(0, 1.15)
    axes.set_ylabel(str(rows["metric"].iloc[0]).replace("_", " "))
    axes.set_xlabel(
        f"{seeds_phrase(rows)}; thin bars span {INTERVALS}; n: outputs per seed", fontsize=9
    )
    stage_legend(axes)
    return figure


def _draw_bin(axes: Axes, row: pd.Series, place: float, style: dict) -> None:
    if pd.isna(row["mean"]):
        say_hole(axes, place, 0.02, "no output under some seed")
        return
    axes.bar(place, row["mean"], width=_WIDTH * 0.92, **style)
    draw_interval(axes, place, row)
    axes.annotate(
        f"{row['n']:.0f}", (place, max(row["high"], row["mean"])),
        xytext=(0, 3), textcoords="offset points", ha="center", fontsize=7.5,
    )  # fmt: skip


def draw_length_bias(table: pd.DataFrame, labels: Mapping[tuple[str, str], str]) -> Figure:
    """Draw mean rating against mean length in bins (length_bias.csv): a panel per judge.

    The main table's systems only; their rank correlations stand in the legend.
    """
    systems = table[["run", "checkpoint"]].itertuples(index=False, name=None)
    rows = table[[system in labels for system in systems]]
    if rows.empty:
        return empty_figure("no instruction answer has a rating", _BIAS_TITLE)
    apply_style()
    judges = list(dict.fromkeys(rows["judge"]))
    figure = Figure(figsize=(7.8, 3.9 * len(judges)), layout="constrained")
    for panel, judge in zip(
        figure.subplots(len(judges), 1, squeeze=False).flat, judges, strict=True
    ):
        _draw_judge(panel, rows[rows["judge"] == judge], labels, judge)
    figure.suptitle(_BIAS_TITLE, x=0.01, ha="left", fontweight="bold", fontsize=12)
    return figure


def _draw_judge(
    axes: Axes, rows: pd.DataFrame, labels: Mapping[tuple[str, str], str], judge: str
) -> None:
    for place, (system, label) in enumerate(labels.items()):
        here = rows[(rows["run"] == system[0]) & (rows["checkpoint"] == system[1])]
        if here.empty:
            continue
        correlation = here.loc[here["bin"] == 0, "spearman"].iloc[0]
        told = "" if pd.isna(correlation) else f" ({correlation:+.2f})"
        bins = here[here["bin"] > 0].sort_values("mean_tokens")
        axes.plot(
            bins["mean_tokens"], bins["mean_rating"], label=label + told, linewidth=1.4,
            markersize=5, **look(place),
        )  # fmt: skip
    axes.set_ylim(-0.03, 1.03)
    axes.set_xlabel("mean length in a bin of equal numbers of answers (tokens)")
    axes.set_ylabel(f"mean rating by {judge}")
    axes.legend(
        loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize=8.5, title="rank correlation",
        title_fontsize=8.5,
    )  # fmt: skip
