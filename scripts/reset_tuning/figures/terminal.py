"""The main table as aligned text. Standard library only."""

from pathlib import Path

from reset_tuning.figures.cells import average_columns, failed_rows, read_cells, value_cell

_GAP = "  "


def format_table(table: Path, width: int = 120) -> str:
    """Return the main table as text, in blocks of as many columns as fit into `width`.

    Raises InputError when the file is missing, has no rows or is not a main table.
    """
    rows = read_cells(table)
    names = _column(["system"], [row["label"] for row in rows], left=True)
    seeds = _column(["seeds"], [row["n_seeds"] for row in rows])
    columns = [
        _column(_heading(name), [value_cell(row, name) for row in rows])
        for name in average_columns(rows)
    ]
    blocks = [
        "\n".join(_GAP.join(line).rstrip() for line in zip(names, seeds, *block, strict=True))
        for block in _blocks(columns, width - len(names[0]) - len(seeds[0]) - len(_GAP))
    ]
    failed = failed_rows(rows)
    note = f"Excluded outputs (judge or metric gave no score): {failed:.0f}."
    return "\n\n".join(blocks) + f"\n\nMean ± standard deviation over seeds. {note}\n"


def _heading(name: str) -> list[str]:
    return name.replace("_", " ").split(" ", 1)


def _column(heading: list[str], cells: list[str], left: bool = False) -> list[str]:
    """Return the lines of one column at equal width: a heading of two lines, a rule, the cells."""
    lines = [*[""] * (2 - len(heading)), *heading, *cells]
    size = max(map(len, lines))
    padded = [line.ljust(size) if left else line.rjust(size) for line in lines]
    return [*padded[:2], "─" * size, *padded[2:]]


def _blocks(columns: list[list[str]], width: int) -> list[list[list[str]]]:
    blocks: list[list[list[str]]] = []
    used = 0
    for column in columns:
        size = len(column[0]) + len(_GAP)
        if not blocks or used + size > width:
            blocks.append([])
            used = 0
        blocks[-1].append(column)
        used += size
    return blocks
