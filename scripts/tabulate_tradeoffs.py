"""Tabulate both two-stage pipelines before and after their second stage."""

from pathlib import Path
from typing import Any

from reset_tuning.jobs import run
from reset_tuning.stats.averages import Headlines
from reset_tuning.stats.points import point_frame
from reset_tuning.stats.systems import tradeoff_table
from reset_tuning.tables import read_table, write_table


def main(
    *,
    scores: Path,
    table: Path,
    tradeoffs: dict[str, dict[str, str]],
    points: list[dict[str, Any]],
    faithfulness: dict[str, str],
    task: dict[str, str],
    judge: str,
) -> None:
    headlines = Headlines(judge, faithfulness, task)
    frame = read_table(scores, "scores")
    write_table(tradeoff_table(frame, tradeoffs, point_frame(points), headlines), table, "tradeoff")


if __name__ == "__main__":
    run(main, snakemake)
