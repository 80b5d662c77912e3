"""The claims as a forest of effects: what was expected, what was found, and the verdict."""

import textwrap

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reset_tuning.figures.style import BLUE, INK, INTERVALS, MUTED, apply_style, empty_figure

_TITLE = f"Claims: effects with {INTERVALS}"
_SIGNS = {
    "supported": "✓ supported",
    "contradicted": "✗ contradicted",
    "inconclusive": "? inconclusive",
    "untested": "– untested",
}
_DECIDED = ("supported", "contradicted")
_EXPECTED = {
    "higher": "> 0",
    "lower": "< 0",
    "not_lower": "> −{margin:g}",
    "equal": "within ±{margin:g}",
}


def draw_claims(claims: pd.DataFrame) -> Figure:
    """Draw a row per contrast of claims.csv, with its verdict; a claim without effect says why."""
    if claims.empty:
        return empty_figure("the config declares no claims", _TITLE)
    apply_style()
    figure = Figure(figsize=(11.5, 0.62 * len(claims) + 1.2), layout="constrained")
    axes = figure.subplots()
    for place, (_, row) in enumerate(claims.iterrows()):
        _draw_contrast(axes, place, row)
    axes.axvline(0, color=INK, linewidth=0.9)
    axes.set_yticks(range(len(claims)), [_name(row) for _, row in claims.iterrows()], fontsize=8.5)
    axes.set_ylim(len(claims) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("effect (difference of scores in [0, 1]); light band: where the claim holds")
    axes.set_title(_TITLE, loc="left", fontweight="bold", pad=10)
    return figure


def _draw_contrast(axes: Axes, place: int, row: pd.Series) -> None:
    said = f"{_SIGNS[row['verdict']]}, expected {_expected(row)}\n{_found(row)}"
    axes.annotate(
        said, (1.01, place), xycoords=("axes fraction", "data"), va="center", fontsize=8,
        annotation_clip=False, fontweight="bold" if row["verdict"] in _DECIDED else "normal",
    )  # fmt: skip
    if pd.isna(row["effect"]):
        reason = textwrap.shorten(str(row["note"]), 78)
        axes.text(-0.98, place, reason, va="center", color=MUTED, fontsize=7.5, zorder=5)
        return
    _draw_band(axes, place, row)
    axes.hlines(place, row["low"], row["high"], color=INK, linewidth=1.6, zorder=3)
    filled = row["verdict"] in _DECIDED
    axes.plot(
        row["effect"], place, marker="o", markersize=7, markeredgecolor=INK, zorder=4,
        color=BLUE if filled else "white",
    )  # fmt: skip


def _draw_band(axes: Axes, place: int, row: pd.Series) -> None:
    margin = 0.0 if pd.isna(row["margin"]) else row["margin"]
    ends = {
        "higher": (0, 1),
        "lower": (-1, 0),
        "not_lower": (-margin, 1),
        "equal": (-margin, margin),
    }
    low, high = ends[row["expect"]]
    axes.fill_betweenx([place - 0.32, place + 0.32], low, high, color="#E8EEF4", zorder=0)
    axes.set_xlim(-1, 1)


def _name(row: pd.Series) -> str:
    name = row["claim"].replace("-", " ")
    return f"{name}\n{textwrap.shorten(str(row['quantity']).replace('_', ' '), 62)}"


def _found(row: pd.Series) -> str:
    if pd.isna(row["effect"]):
        return "not measured"
    return f"{row['effect']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}]"


def _expected(row: pd.Series) -> str:
    return _EXPECTED[row["expect"]].format(margin=row["margin"])
