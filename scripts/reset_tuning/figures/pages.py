"""Tables as pages for the report, which shows HTML but offers CSV for download only."""

import html
from pathlib import Path

from reset_tuning.figures.cells import read_cells, value_cell, value_columns

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #222; margin: 1.5rem; }
h1 { font-size: 1.25rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .7rem; text-align: right; white-space: nowrap; }
thead th { position: sticky; top: 0; background: #fff; border-bottom: 2px solid #888; }
tbody tr:nth-child(even) { background: #f4f6f8; }
th:first-child, td:first-child { text-align: left; }
"""


def table_page(table: Path, title: str) -> str:
    """Return a self-contained page of a CSV table; number columns read "mean ± sd" where they can.

    A table with deviations (the main table) shows label, seeds and those columns; any other
    table shows every column as it is. Raises InputError when the file is missing or empty.
    """
    rows = read_cells(table)
    columns = value_columns(rows) if "label" in rows[0] else []
    if columns:
        head = ["system", "seeds", *columns]
        body = [
            [row["label"], row["n_seeds"], *(value_cell(row, name) for name in columns)]
            for row in rows
        ]
    else:
        head, body = list(rows[0]), [list(row.values()) for row in rows]
    heading = "".join(f"<th>{html.escape(name.replace('_', ' '))}</th>" for name in head)
    lines = ["".join(f"<td>{html.escape(cell)}</td>" for cell in row) for row in body]
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style></head>\n"
        f"<body><h1>{html.escape(title)}</h1>\n<table><thead><tr>{heading}</tr></thead>\n<tbody>\n"
        + "\n".join(f"<tr>{line}</tr>" for line in lines)
        + "\n</tbody></table></body></html>\n"
    )
