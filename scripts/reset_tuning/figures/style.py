"""One look for all figures, and files whose bytes depend on the data alone."""

from pathlib import Path
from typing import Any

from matplotlib import rcParams
from matplotlib.figure import Figure  # not pyplot: no window system, no state, a faster start

from reset_tuning.files import atomic_path

# Okabe and Ito's palette: distinct for colour-blind readers; figures never use colour alone.
BLUE, VERMILION, GREEN = "#0072B2", "#D55E00", "#009E73"
PURPLE, ORANGE, SKY = "#CC79A7", "#E69F00", "#56B4E9"
CYCLE = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY)
INK, GRID = "#222222", "#DDDDDD"

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
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "svg.hashsalt": "reset-tuning",  # ids from the content and not from chance
    "svg.fonttype": "path",
    "pdf.fonttype": 42,
}


def apply_style() -> None:
    """Set the look for the figures that this process draws."""
    rcParams.update(_STYLE)


def save_figure(figure: Figure, svg: Path, pdf: Path) -> None:
    """Write both files without dates, so that equal data gives equal bytes."""
    with atomic_path(svg) as path:
        figure.savefig(path, format="svg", metadata={"Date": None})
    with atomic_path(pdf) as path:
        figure.savefig(path, format="pdf", metadata={"CreationDate": None})
