"""Draw the scores of one run at start, best and last on each test set of some kinds."""

from pathlib import Path
from typing import Any

from reset_tuning.figures.stages import draw_stage
from reset_tuning.figures.style import save_figure
from reset_tuning.jobs import run
from reset_tuning.stats.panels import LENGTH_SCORER
from reset_tuning.tables import read_table


def main(
    *, cells: Path, svg: list[Path], pdf: list[Path], figures: list[dict[str, Any]], judge: str
) -> None:
    rows = read_table(cells, "cells")
    rows = rows[(rows["kind"] != "instruction") | rows["scorer"].isin([judge, LENGTH_SCORER])]
    for spec, *files in zip(figures, svg, pdf, strict=True):
        here = rows[rows["kind"].isin(spec["kinds"])]
        save_figure(draw_stage(here, spec["run"], spec["metrics"], spec["title"]), *files)


if __name__ == "__main__":
    run(main, snakemake)
