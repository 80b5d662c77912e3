"""Tabulate the systems of the main table: mean over seeds and standard deviation."""

from pathlib import Path
from typing import Any

from reset_tuning.jobs import run
from reset_tuning.stats.averages import Headlines
from reset_tuning.stats.points import point_frame
from reset_tuning.stats.systems import main_table
from reset_tuning.tables import read_table, write_table


def main(
    *,
    scores: Path,
    table: Path,
    systems: list[dict[str, str]],
    points: list[dict[str, Any]],
    faithfulness: dict[str, str],
    task: dict[str, str],
    judge: str,
) -> None:
    headlines = Headlines(judge, faithfulness, task)
    rows = main_table(read_table(scores, "scores"), systems, point_frame(points), headlines)
    write_table(rows, table, "main_table")


if __name__ == "__main__":
    run(main, snakemake)
