"""What every reader of raw files yields, and the sentences that they share."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

BOM = b"\xef\xbb\xbf"
Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be read, and why; the rows behind it can."""

    reason: str


class TableRow(Record):
    """A row of an object of columns: taken apart already, out of a file read to its end."""


# Where the record stands ("file:line" or "file:index"), and the record or what is wrong with it.
Row = tuple[str, Record | BadRow]
Count = Callable[[int], None]  # is told a number of rows


def is_utf8(text: str) -> bool:
    """Say whether a text read with `surrogateescape` held nothing but UTF-8."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def not_utf8(where: str) -> str:
    """Return the sentence for a row or file of other bytes."""
    return f"{where} is not UTF-8 text; convert the file to UTF-8"


def unknown_content(name: str) -> str:
    """Return the sentence for a file that no reader of raw files knows."""
    return (
        f"{name} holds none of the known contents (JSON lines, a JSON list or object, csv with a "
        "header of at least two columns, parquet, gzip or zip); is it the right file?"
    )
