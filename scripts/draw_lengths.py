"""Draw the lengths of answers: of all systems, in length splits, and against ratings."""

from pathlib import Path

from reset_tuning.figures.lengths import draw_length_bias, draw_length_split, draw_lengths
from reset_tuning.figures.style import save_figure
from reset_tuning.jobs import run
from reset_tuning.tables import read_table


def main(
    *,
    lengths: Path,
    splits: Path,
    bias: Path,
    lengths_svg: Path,
    lengths_pdf: Path,
    split_svg: list[Path],
    split_pdf: list[Path],
    bias_svg: Path,
    bias_pdf: Path,
    systems: list[dict[str, str]],
    tradeoffs: dict[str, dict[str, str]],
) -> None:
    labels = {(system["run"], system["checkpoint"]): system["label"] for system in systems}
    save_figure(draw_lengths(read_table(lengths, "cells"), labels), lengths_svg, lengths_pdf)
    rows = read_table(splits, "length_split")
    for (pipeline, spec), *files in zip(tradeoffs.items(), split_svg, split_pdf, strict=True):
        title = f"{spec['label']}: scores by length of the answer"
        save_figure(draw_length_split(rows, pipeline, title), *files)
    save_figure(draw_length_bias(read_table(bias, "length_bias"), labels), bias_svg, bias_pdf)


if __name__ == "__main__":
    run(main, snakemake)
