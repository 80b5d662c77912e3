"""Draw the paper's diagrams anew."""

from pathlib import Path

from reset_tuning.figures.diagrams import draw_reset, draw_two_stages
from reset_tuning.figures.style import save_figure
from reset_tuning.jobs import run

DIAGRAMS = {"inoculation": draw_two_stages, "our_method": draw_reset}


def main(*, svg: list[Path], pdf: list[Path], diagrams: list[str]) -> None:
    for name, *files in zip(diagrams, svg, pdf, strict=True):
        save_figure(DIAGRAMS[name](), *files)


if __name__ == "__main__":
    run(main, snakemake)
