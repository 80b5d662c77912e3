"""Tabulate both two-stage pipelines before and after, and by length of the answers."""

from pathlib import Path
from typing import Any

from reset_tuning.jobs import run
from reset_tuning.stats.averages import Headlines
from reset_tuning.stats.bootstrap import Bootstrap
from reset_tuning.stats.cells import refuse_holes
from reset_tuning.stats.length_splits import length_split_table, without_bins
from reset_tuning.stats.panels import read_panels
from reset_tuning.stats.systems import tradeoff_table
from reset_tuning.tables import write_table


def main(
    *,
    scores: Path,
    table: Path,
    length_split: Path,
    tradeoffs: dict[str, dict[str, str]],
    points: list[dict[str, Any]],
    faithfulness: dict[str, str],
    task: dict[str, str],
    judge: str,
    bootstrap: dict[str, Any],
    strict: bool,
) -> None:
    panels = read_panels([scores], points)
    headlines = Headlines(judge, faithfulness, task)
    settings = Bootstrap(**bootstrap)
    rows = tradeoff_table(panels, tradeoffs, headlines, settings)
    by_length = length_split_table(panels, tradeoffs, headlines, settings)
    refuse_holes(rows, "tradeoff", strict)
    refuse_holes(without_bins(by_length), "length_split", strict)
    write_table(rows, table, "tradeoff")
    write_table(by_length, length_split, "length_split")


if __name__ == "__main__":
    run(main, snakemake)
