"""Draw the validation perplexity of all runs against the step."""

from pathlib import Path

from reset_tuning.figures.style import save_figure
from reset_tuning.figures.trajectories import draw_trajectories
from reset_tuning.jobs import run
from reset_tuning.tables import read_table


def main(*, trajectories: Path, svg: Path, pdf: Path) -> None:
    save_figure(draw_trajectories(read_table(trajectories, "trajectory")), svg, pdf)


if __name__ == "__main__":
    run(main, snakemake)
