"""Tabulate the systems of the main table, from the numbers of all systems."""

from pathlib import Path

from reset_tuning.jobs import run
from reset_tuning.stats.averages import Headlines
from reset_tuning.stats.cells import refuse_holes
from reset_tuning.stats.systems import main_table
from reset_tuning.tables import read_table, write_table


def main(
    *,
    averages: Path,
    cells: Path,
    table: Path,
    systems: list[dict[str, str]],
    faithfulness: dict[str, str],
    task: dict[str, str],
    judge: str,
    strict: bool,
) -> None:
    headlines = Headlines(judge, faithfulness, task)
    rows = main_table(
        read_table(averages, "averages"), read_table(cells, "cells"), systems, headlines
    )
    refuse_holes(rows, "main_table", strict)
    write_table(rows, table, "main_table")


if __name__ == "__main__":
    run(main, snakemake)
