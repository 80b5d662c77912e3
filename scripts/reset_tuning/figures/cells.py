"""The cells that people read: "0.612 ± 0.021" from a table's number and deviation columns.

Standard library only, so that printing a table takes no time.
"""

import csv
from collections.abc import Sequence
from pathlib import Path

from reset_tuning.errors import InputError

EMPTY = "–"


def read_cells(path: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV file as text; InputError when it is missing or has no rows."""
    rows = read_rows(path)
    if not rows:
        raise InputError(f"{path} has no rows")
    return rows


def read_rows(path: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV file as text, which may be none; InputError when it is missing."""
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            return list(csv.DictReader(stream))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}; build it first") from error


def value_columns(rows: Sequence[dict[str, str]]) -> list[str]:
    """Return the columns that have a deviation beside them, in the table's order."""
    return [name for name in rows[0] if f"{name}_sd" in rows[0]]


def average_columns(rows: Sequence[dict[str, str]]) -> list[str]:
    """Return the columns of the macro-averages: all up to `overall`, where the table has it."""
    columns = value_columns(rows)
    return columns[: columns.index("overall") + 1] if "overall" in columns else columns


def value_cell(row: dict[str, str], column: str) -> str:
    """Return "mean ± sd" with three decimals; the mean alone where there is no deviation."""
    if not row[column]:
        return EMPTY
    mean = f"{float(row[column]):.3f}"
    deviation = row[f"{column}_sd"]
    return f"{mean} ± {float(deviation):.3f}" if deviation else mean


def failed_rows(rows: list[dict[str, str]], column: str = "overall_failed") -> float:
    """Return the excluded rows of all systems, or 0 where the table does not count them."""
    return sum(float(row.get(column) or 0) * int(row["n_seeds"]) for row in rows)
