"""Tabulate where the paper is odd, silent or lost, and what this run used."""

from pathlib import Path
from typing import Any

import pandas as pd

from reset_tuning.jobs import run
from reset_tuning.tables import write_table


def main(*, table: Path, rows: list[dict[str, Any]]) -> None:
    write_table(pd.DataFrame(rows), table, "deviations")


if __name__ == "__main__":
    run(main, snakemake)
