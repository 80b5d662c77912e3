"""The instruction-faithfulness plane: every system and checkpoint as a point with its intervals."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from reset_tuning.figures.style import (
    BLUE,
    INK,
    INTERVALS,
    MUTED,
    ORANGE,
    apply_style,
    empty_figure,
)

_X, _Y = "faithfulness", "instruction_following"
_PLANE = (440.0, 330.0)  # points (1/72 inch) that the axes are about wide and high
_REACHES = (10.0, 17.0, 24.0)  # of a number from its point
_DIRECTIONS = 12
_TITLE = "Instruction following against faithfulness"


def draw_plane(
    averages: pd.DataFrame, systems: Sequence[Mapping[str, str]], stages: Sequence[str]
) -> Figure:
    """Draw all systems of the averages table: the main table's numbered, others by their names.

    `systems` are the rows of the main table, `stages` the runs whose start, best and last are
    joined by a line. Systems without both numbers are left out.
    """
    points = _points(averages)
    if points.empty:
        return empty_figure("no system has both numbers", _TITLE)
    apply_style()
    figure = Figure(figsize=(9.2, 5.2), layout="constrained")
    axes = figure.subplots()
    _draw_stages(axes, points, stages)
    labels = {(s["run"], s["checkpoint"]): s["label"] for s in systems}
    handles = []
    distinct = points[~points.duplicated()]
    ordered = _ordered(distinct, labels)
    offsets = _label_offsets(ordered["mean"][[_X, _Y]].to_numpy())
    for number, (name, row) in enumerate(ordered.iterrows(), start=1):
        is_main = name in labels
        _draw_point(axes, row, is_main)
        at = (row["mean"][_X], row["mean"][_Y])
        axes.annotate(
            str(number), at, offsets[number - 1], textcoords="offset points",
            fontsize=8.5, ha="center", va="center",
        )  # fmt: skip
        label = labels.get(name, f"{name[0]}, {name[1]}")
        handles.append(_handle(f"{number}  {label}", is_main))
    axes.set_title(_TITLE, loc="left", fontweight="bold", pad=10)
    axes.set_xlabel(f"faithfulness, all context sets ({INTERVALS})")
    axes.set_ylabel(f"instruction following ({INTERVALS})")
    axes.margins(0.06)
    figure.legend(handles=handles, loc="outside right upper", fontsize=8.5)
    return figure


def _points(averages: pd.DataFrame) -> pd.DataFrame:
    """Return x, y and their intervals by (run, checkpoint)."""
    rows = averages[averages["average"].isin([_X, _Y])]
    wide = rows.pivot(
        index=["run", "checkpoint"], columns="average", values=["mean", "low", "high"]
    )
    columns = [(value, name) for value in ("mean", "low", "high") for name in (_X, _Y)]
    return wide.reindex(columns=columns).dropna()


def _ordered(points: pd.DataFrame, labels: Mapping[tuple[str, str], str]) -> pd.DataFrame:
    main = [name for name in labels if name in points.index]
    return points.loc[main + [name for name in points.index if name not in labels]]


def _draw_stages(axes: Axes, points: pd.DataFrame, stages: Sequence[str]) -> None:
    for run in stages:
        names = [(run, checkpoint) for checkpoint in ("start", "best", "last")]
        line = [points.loc[name]["mean"] for name in names if name in points.index]
        if len(line) > 1:
            axes.plot(
                [at[_X] for at in line], [at[_Y] for at in line],
                color=MUTED, linewidth=1, linestyle=":", zorder=1,
            )  # fmt: skip


def _label_offsets(places: npt.NDArray[np.float64]) -> list[tuple[float, float]]:
    """Return where each point's number stands beside it, in points: the freest place around it."""
    extent = np.ptp(places, axis=0)
    scaled = (places - places.min(axis=0)) / np.where(extent > 0, extent, 1) * _PLANE
    angles = np.arange(_DIRECTIONS) * 2 * np.pi / _DIRECTIONS + np.pi / 4
    around = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    candidates = np.concatenate([reach * around for reach in _REACHES])
    taken = list(scaled)
    offsets = []
    for place in scaled:
        distances = np.linalg.norm((place + candidates)[:, None] - np.array(taken), axis=2)
        # Beyond a free reach nothing is gained: the first such place, the nearest one, is taken.
        best = candidates[np.minimum(distances.min(axis=1), _REACHES[0]).round(6).argmax()]
        taken.append(place + best)
        offsets.append((float(best[0]), float(best[1])))
    return offsets


def _draw_point(axes: Axes, row: pd.Series, is_main: bool) -> None:
    x, y = row["mean"][_X], row["mean"][_Y]
    colour = BLUE if is_main else ORANGE
    axes.hlines(y, row["low"][_X], row["high"][_X], color=colour, linewidth=1.2, zorder=2)
    axes.vlines(x, row["low"][_Y], row["high"][_Y], color=colour, linewidth=1.2, zorder=2)
    axes.plot(x, y, marker="o" if is_main else "D", markersize=6, color=colour, markeredgecolor=INK)


def _handle(label: str, is_main: bool) -> Line2D:
    look: dict[str, Any] = {"marker": "o" if is_main else "D", "linestyle": "none"}
    colour = BLUE if is_main else ORANGE
    return Line2D([], [], color=colour, markeredgecolor=INK, markersize=5, label=label, **look)
