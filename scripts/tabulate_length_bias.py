"""Tabulate the ratings of instruction answers by their length."""

from pathlib import Path

from reset_tuning.jobs import run
from reset_tuning.stats.length_bias import length_bias_table
from reset_tuning.tables import read_table, write_table


def main(*, scores: Path, table: Path, judges: list[str]) -> None:
    rows = length_bias_table(read_table(scores, "example_score"), judges)
    write_table(rows, table, "length_bias")


if __name__ == "__main__":
    run(main, snakemake)
