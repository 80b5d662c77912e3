"""One look for all figures, and files whose bytes depend on the data alone."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure  # not pyplot: no window system, no state, a faster start
from matplotlib.patches import Patch

from reset_tuning.files import atomic_path

INTERVALS = "intervals of statistics.level"  # which is 95 % unless the configuration says otherwise

# Okabe and Ito's palette: distinct for colour-blind readers; figures never use colour alone.
BLUE, VERMILION, GREEN = "#0072B2", "#D55E00", "#009E73"
PURPLE, ORANGE, SKY = "#CC79A7", "#E69F00", "#56B4E9"
CYCLE = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY)
MARKERS = "osD^vPX*"
DASHES: tuple[Any, ...] = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))
INK, GRID, MUTED = "#222222", "#DDDDDD", "#666666"

_STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",  # shipped with matplotlib: the same on every machine
    "font.size": 11,
    "axes.titlesize": 12,
    "axes.edgecolor": "#888888",
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "hatch.linewidth": 0.8,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "svg.hashsalt": "reset-tuning",  # ids from the content and not from chance
    "svg.fonttype": "path",
    "pdf.fonttype": 42,
}


@dataclass(frozen=True)
class Stage:
    """How a checkpoint of a stage is named and drawn: greys differ in lightness and hatch."""

    label: str
    bar: dict[str, Any]


STAGES = {
    "start": Stage("before", {"facecolor": "#D9E6F2", "edgecolor": INK, "linewidth": 0.8}),
    "best": Stage(
        "after, best checkpoint", {"facecolor": BLUE, "edgecolor": INK, "linewidth": 0.8}
    ),
    "last": Stage(
        "after, last step",
        {"facecolor": "#7FB2D6", "edgecolor": INK, "linewidth": 0.8, "hatch": "////"},
    ),
}


def apply_style() -> None:
    """Set the look for the figures that this process draws."""
    rcParams.update(_STYLE)


def look(place: int) -> dict[str, Any]:
    """Return colour, marker and dashes of the place-th line: each differs from its neighbours."""
    return {
        "color": CYCLE[place % len(CYCLE)],
        "marker": MARKERS[place % len(MARKERS)],
        "linestyle": DASHES[place % len(DASHES)],
    }


def stage_legend(axes: Axes) -> None:
    """Name the stages above the bars, where set_ylim leaves room."""
    handles = [Patch(label=stage.label, **stage.bar) for stage in STAGES.values()]
    axes.legend(
        handles=handles, loc="upper center", bbox_to_anchor=(0.5, 1.06), fontsize=9, ncols=3
    )


def draw_interval(
    axes: Axes, place: float, row: Any, horizontal: bool = False, **look: Any
) -> None:
    """Draw the interval of a row with low and high as a thin bar."""
    style = {"color": INK, "linewidth": 1.2, "capstyle": "butt", "zorder": 3} | look
    ends = [row["low"], row["high"]]
    if horizontal:
        axes.hlines(place, *ends, **style)
    else:
        axes.vlines(place, *ends, **style)


def say_hole(axes: Axes, place: float, height: float, reason: Any) -> None:
    """Write why there is no number, upwards from the place where it would be."""
    text = str(reason) if isinstance(reason, str) else "no value"
    axes.text(
        place, height, shorten(text), rotation=90, fontsize=7, color=MUTED, ha="center", va="bottom"
    )


def empty_figure(reason: str, title: str) -> Figure:
    """Return a figure that says why there is nothing to draw."""
    apply_style()
    figure = Figure(figsize=(7.4, 2.4), layout="constrained")
    axes = figure.subplots()
    axes.set_axis_off()
    axes.set_title(title, loc="left", fontweight="bold")
    axes.text(0.5, 0.5, shorten(reason, 110), ha="center", va="center", color=MUTED, wrap=True)
    return figure


def shorten(text: str, width: int = 48) -> str:
    """Return a text cut to `width` characters."""
    return text if len(text) <= width else text[: width - 1] + "…"


def seeds_phrase(rows: pd.DataFrame) -> str:
    """Return "mean over 3 seeds" or what else the rows rest on."""
    n_seeds = int(rows["n_seeds"].max()) if len(rows) else 0
    return f"mean over {n_seeds} seeds" if n_seeds > 1 else "one seed"


def save_figure(figure: Figure, svg: Path, pdf: Path) -> None:
    """Write both files without dates, so that equal data gives equal bytes."""
    with atomic_path(svg) as path:
        figure.savefig(path, format="svg", metadata={"Date": None})
    with atomic_path(pdf) as path:
        figure.savefig(path, format="pdf", metadata={"CreationDate": None})
