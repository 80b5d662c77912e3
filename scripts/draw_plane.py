"""Draw every system in the plane of faithfulness and instruction following."""

from pathlib import Path

from reset_tuning.figures.plane import draw_plane
from reset_tuning.figures.style import save_figure
from reset_tuning.jobs import run
from reset_tuning.tables import read_table


def main(
    *, averages: Path, svg: Path, pdf: Path, systems: list[dict[str, str]], stages: list[str]
) -> None:
    save_figure(draw_plane(read_table(averages, "averages"), systems, stages), svg, pdf)


if __name__ == "__main__":
    run(main, snakemake)
