"""Print the main table: python scripts/print_table.py results/mini/metrics/main_table.csv."""

import argparse
import shutil
import sys
from pathlib import Path

from reset_tuning.errors import InputError
from reset_tuning.figures.terminal import format_table


def main(table: Path, width: int) -> None:
    sys.stdout.write(format_table(table, width))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Print the main table as mean ± deviation.")
    parser.add_argument("table", type=Path, help="metrics/main_table.csv of an experiment")
    columns = shutil.get_terminal_size((120, 40)).columns
    parser.add_argument("--width", type=int, default=columns, help="characters per line")
    arguments = parser.parse_args()
    sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    try:
        main(arguments.table, arguments.width)
    except InputError as error:
        sys.exit(str(error))
