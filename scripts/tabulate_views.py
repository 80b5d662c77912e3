"""Tabulate checkpoints, answer lengths and supplementary metrics: parts of all numbers."""

from pathlib import Path

from reset_tuning.jobs import run
from reset_tuning.stats.averages import Headlines
from reset_tuning.stats.views import answer_lengths, checkpoint_scores, coverage
from reset_tuning.tables import read_table, write_table


def main(
    *,
    cells: Path,
    checkpoints: Path,
    lengths: Path,
    supplementary: Path,
    runs: list[str],
    systems: list[dict[str, str]],
    faithfulness: dict[str, str],
    task: dict[str, str],
    judge: str,
) -> None:
    rows = read_table(cells, "cells")
    headlines = Headlines(judge, faithfulness, task)
    write_table(checkpoint_scores(rows, runs), checkpoints, "cells")
    write_table(answer_lengths(rows, runs), lengths, "cells")
    write_table(coverage(rows, systems, headlines), supplementary, "cells")


if __name__ == "__main__":
    run(main, snakemake)
