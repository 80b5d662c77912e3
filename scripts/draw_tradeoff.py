"""Draw one pipeline's scores before and after its second stage."""

from pathlib import Path

from reset_tuning.figures.style import save_figure
from reset_tuning.figures.tradeoff import draw_tradeoff
from reset_tuning.jobs import run
from reset_tuning.tables import read_table

TITLE = "before and after the second stage"


def main(
    *, tradeoff: Path, svg: Path, pdf: Path, pipeline: str, label: str, title: str = TITLE
) -> None:
    table = read_table(tradeoff, "tradeoff")
    save_figure(draw_tradeoff(table, pipeline, f"{label}: {title}"), svg, pdf)


if __name__ == "__main__":
    run(main, snakemake)
