"""Tabulate the training histories of all runs."""

from pathlib import Path

from reset_tuning.jobs import run
from reset_tuning.stats.trajectories import read_histories, trajectories_table
from reset_tuning.tables import write_table


def main(*, history: list[Path], table: Path) -> None:
    write_table(trajectories_table(read_histories(history)), table, "trajectory")


if __name__ == "__main__":
    run(main, snakemake)
