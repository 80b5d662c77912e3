"""What selection does: how far the best sample leads, and which decoding settings win."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reset_tuning.figures.style import apply_style, empty_figure, look

_MARGINS_TITLE = "How far the best sample of an example leads the second best"
_SETTINGS_TITLE = "Which decoding settings win"


def draw_margins(margins: pd.DataFrame) -> Figure:
    """Draw the share of examples by margin (selection_margins.csv), a panel per selection.

    Seeds are taken together; selections with the same counts are drawn once.
    """
    if margins.empty:
        return empty_figure("no selection was made", _MARGINS_TITLE)
    apply_style()
    selections = _distinct(margins, ["set", "margin"], "n")
    figure = Figure(figsize=(7.8, 2.7 * len(selections) + 0.6), layout="constrained")
    panels = figure.subplots(len(selections), 1, squeeze=False, sharex=True).flatten()
    order = list(dict.fromkeys(margins["margin"]))
    for panel, (name, rows) in zip(panels, selections.items(), strict=True):
        _draw_shares(panel, rows, order)
        panel.set_title(name, fontsize=10, loc="left")
        panel.set_ylabel("share of examples", fontsize=9)
    names = [name.replace("1e-09", "0") for name in order]
    panels[-1].set_xticks(range(len(order)), names, rotation=25, ha="right", fontsize=9)
    panels[-1].set_xlabel("margin of the weighted score")
    panels[0].legend(fontsize=8.5)
    figure.suptitle(_MARGINS_TITLE, x=0.01, ha="left", fontweight="bold", fontsize=12)
    return figure


def _draw_shares(axes: Axes, rows: pd.DataFrame, order: Sequence[str]) -> None:
    for place, (name, group) in enumerate(rows.groupby("set", sort=True)):
        counts = group.groupby("margin")["n"].sum().reindex(order, fill_value=0)
        axes.plot(range(len(order)), counts / counts.sum(), label=name, markersize=5, **look(place))
    axes.set_ylim(bottom=0)


def draw_settings(settings: pd.DataFrame) -> Figure:
    """Draw the share of samples that win by temperature and top-k (selection_settings.csv)."""
    if settings.empty:
        return empty_figure("no selection was made", _SETTINGS_TITLE)
    apply_style()
    selections = _distinct(settings, ["set", "arm", "temperature", "top_k"], "n_wins")
    arms = {"temperature": "temperature", "top_k": "top_k"}
    figure = Figure(figsize=(8.2, 2.7 * len(selections) + 0.6), layout="constrained")
    panels = figure.subplots(len(selections), len(arms), squeeze=False, sharey=True)
    for across, (name, rows) in zip(panels, selections.items(), strict=True):
        for panel, (arm, value) in zip(across, arms.items(), strict=True):
            _draw_arm(panel, rows[rows["arm"] == arm], value)
        across[0].set_title(name, fontsize=10, loc="left")
        across[0].set_ylabel("share of samples that win", fontsize=9)
    panels[0][0].legend(fontsize=8.5)
    for panel, label in zip(panels[-1], ("temperature (top-k off)", "top-k"), strict=True):
        panel.set_xlabel(label)
    figure.suptitle(_SETTINGS_TITLE, x=0.01, ha="left", fontweight="bold", fontsize=12)
    return figure


def _draw_arm(axes: Axes, rows: pd.DataFrame, value: str) -> None:
    values = sorted(rows[value].unique())
    for place, (name, group) in enumerate(rows.groupby("set", sort=True)):
        sums = group.groupby(value)[["n_wins", "n_samples"]].sum().reindex(values)
        share = sums["n_wins"] / sums["n_samples"]
        axes.plot(range(len(values)), share, label=name, markersize=5, **look(place))
    axes.set_xticks(range(len(values)), [f"{number:g}" for number in values])
    axes.set_ylim(bottom=0)


def _distinct(rows: pd.DataFrame, keys: list[str], count: str) -> dict[str, pd.DataFrame]:
    """Return the rows of each selection; those that agree in all counts share a name."""
    found: dict[tuple, list[str]] = {}
    for name, group in rows.groupby("selection", sort=False):
        counts = group.groupby(keys)[count].sum()
        found.setdefault(tuple(counts.items()), []).append(str(name))
    return {", ".join(names): rows[rows["selection"] == names[0]] for names in found.values()}
