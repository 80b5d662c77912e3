"""Tabulate which file shows each figure, table, prompt and diagram of the paper."""

from pathlib import Path
from typing import Any

import pandas as pd

from reset_tuning.jobs import run
from reset_tuning.stats.paper_index import index_rows
from reset_tuning.tables import write_table


def main(*, files: list[Path], table: Path, entries: dict[str, Any]) -> None:
    write_table(pd.DataFrame(index_rows(entries, files, table.parents[1])), table, "paper_index")


if __name__ == "__main__":
    run(main, snakemake)
