"""Draw the validation perplexity and the losses of all runs against the step."""

from pathlib import Path

from reset_tuning.figures.style import save_figure
from reset_tuning.figures.trajectories import draw_trajectories
from reset_tuning.jobs import run
from reset_tuning.tables import read_table


def main(*, trajectories: Path, svg: Path, pdf: Path, losses_svg: Path, losses_pdf: Path) -> None:
    table = read_table(trajectories, "trajectory")
    save_figure(draw_trajectories(table, "perplexity"), svg, pdf)
    save_figure(draw_trajectories(table, "loss"), losses_svg, losses_pdf)


if __name__ == "__main__":
    run(main, snakemake)
