"""Tabulate the lengths of the generations at every evaluation point."""

from pathlib import Path
from typing import Any

from reset_tuning.jobs import run
from reset_tuning.stats.lengths import lengths_table, read_lengths
from reset_tuning.stats.points import point_frame
from reset_tuning.tables import write_table


def main(*, generations: list[Path], table: Path, points: list[dict[str, Any]]) -> None:
    write_table(lengths_table(read_lengths(generations), point_frame(points)), table, "lengths")


if __name__ == "__main__":
    run(main, snakemake)
