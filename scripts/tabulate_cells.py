"""Tabulate every number of the tables once: by test set and metric, and as macro-averages."""

from pathlib import Path
from typing import Any

from reset_tuning.jobs import run
from reset_tuning.stats.averages import Headlines
from reset_tuning.stats.bootstrap import Bootstrap
from reset_tuning.stats.cells import averages_table, cells_table, refuse_holes
from reset_tuning.stats.panels import read_panels
from reset_tuning.tables import write_table


def main(
    *,
    scores: Path,
    cells: Path,
    averages: Path,
    points: list[dict[str, Any]],
    faithfulness: dict[str, str],
    task: dict[str, str],
    judge: str,
    bootstrap: dict[str, Any],
    strict: bool,
) -> None:
    panels = read_panels([scores], points)
    settings = Bootstrap(**bootstrap)
    headlines = Headlines(judge, faithfulness, task)
    for path, name, table in (
        (cells, "cells", cells_table(panels, settings)),
        (averages, "averages", averages_table(panels, headlines, settings)),
    ):
        refuse_holes(table, name, strict)
        write_table(table, path, name)


if __name__ == "__main__":
    run(main, snakemake)
