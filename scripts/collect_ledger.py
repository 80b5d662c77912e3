"""Collect the row ledgers of all stages and check that every row is accounted for."""

from pathlib import Path

from reset_tuning.jobs import run
from reset_tuning.stats.ledger import read_ledgers
from reset_tuning.tables import write_table


def main(*, ledgers: list[Path], table: Path) -> None:
    write_table(read_ledgers(ledgers), table, "ledger")


if __name__ == "__main__":
    run(main, snakemake)
