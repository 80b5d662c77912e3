"""Records out of one JSON object of columns, each an object of values by row number.

MS MARCO's raw files are of this form: {"answers": {"0": …, "1": …}, "query": {"0": …, "1": …}, …}.
A row is whole only once the last column is read, so that the columns wait in a temporary file.
"""

import io
import json
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from reset_tuning.data.raw_json import SPACE, JsonText
from reset_tuning.data.rows import BadRow, Record, Row, TableRow, not_utf8
from reset_tuning.errors import InputError

_LEADING = "query"  # the column in whose order rows come; a row that it lacks is a bad one
_NOT_UTF8 = b""  # stands for a value of other bytes
_SETTINGS = "PRAGMA page_size=16384; PRAGMA journal_mode=OFF; PRAGMA cache_size=-8192;"  # KiB

Cell = str | bytes | None  # a value's JSON text, or _NOT_UTF8; None where the column lacks the row


class NoColumns(Exception):
    """A text is no object of columns, or not that alone."""


def read_columns(stream: io.BufferedReader, name: str) -> Iterator[Row]:
    """Yield the rows of one object of columns in the order of its column `query`.

    Rows that this lacks come last and have no `query`. Raises NoColumns, before any row and with
    the stream at its beginning, for anything else than one such object.
    """
    text = JsonText(stream, name)
    try:
        with closing(_nameless_database()) as database:
            cells = _Cells(database)
            if not _spool(text, name, cells):
                text.rewind()
                raise NoColumns
            for key, row in cells.rows():
                yield f"{name}:1.{key}", _record(row, f"{name}:1.{key}")
    except sqlite3.Error as error:
        raise InputError(
            f"{name}: its columns cannot be kept in a temporary file ({error}); is there room for "
            f"them in {tempfile.gettempdir()}?"
        ) from error


def _nameless_database() -> sqlite3.Connection:
    """Return a database in a temporary file without a name: a killed job leaves none behind."""
    with tempfile.TemporaryDirectory(prefix="raw-columns-") as folder:
        database = sqlite3.connect(Path(folder) / "columns")
        database.executescript(_SETTINGS)
        database.execute("PRAGMA user_version = 1")  # the file is made when it is first written
    return database


class _Cells:
    """Values by column and row, on disk; of equal keys the later one counts, as in `json.loads`."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self._tables: dict[str, str] = {}

    def add(self, column: str, cells: Iterator[tuple[str, Cell]]) -> None:
        """Take in a column."""
        table = self._tables.setdefault(column, f"column_{len(self._tables)}")
        self._database.execute(f"DROP TABLE IF EXISTS {table}")
        self._database.execute(f"CREATE TABLE {table} (key TEXT PRIMARY KEY, value)")
        self._database.executemany(
            f"INSERT INTO {table} VALUES (?, ?) "
            "ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            cells,
        )

    @property
    def have_rows(self) -> bool:
        """Whether the leading column is there and not empty."""
        table = self._tables.get(_LEADING)
        if table is None:
            return False
        (found,) = self._database.execute(f"SELECT EXISTS (SELECT 1 FROM {table})").fetchone()
        return bool(found)

    def rows(self) -> Iterator[tuple[str, dict[str, Cell]]]:
        """Yield the leading column's keys in their order, each with its cell of every column.

        Behind them come the keys that it lacks, of the other columns in turn, without its cell.
        """
        leading = self._tables[_LEADING]
        others = {name: table for name, table in self._tables.items() if name != _LEADING}
        for (key,) in self._database.execute(f"SELECT key FROM {leading} ORDER BY rowid"):
            yield key, {name: self._cell(table, key) for name, table in self._tables.items()}
        earlier = [leading]
        for column in others.values():
            for key in self._keys_beside(column, earlier):
                yield key, {name: self._cell(table, key) for name, table in others.items()}
            earlier.append(column)

    def _keys_beside(self, column: str, earlier: list[str]) -> Iterator[str]:
        """Yield the keys of a column that none of the earlier ones has."""
        is_new = " AND ".join(
            f"NOT EXISTS (SELECT 1 FROM {table} WHERE {table}.key = {column}.key)"
            for table in earlier
        )
        found = self._database.execute(f"SELECT key FROM {column} WHERE {is_new} ORDER BY rowid")
        return (key for (key,) in found)

    def _cell(self, table: str, key: str) -> Cell:
        found = self._database.execute(f"SELECT value FROM {table} WHERE key = ?", (key,))
        return next(found, (None,))[0]


def _spool(text: JsonText, name: str, cells: _Cells) -> bool:
    """Take the columns out of the text; return False where it holds more or something else."""
    try:
        text.skip(SPACE)
        for column in _keys(text):
            cells.add(column, _column(text, f"{name} (column {column}"))
            text.name = name
        text.skip(SPACE)
    except NoColumns:
        return False
    return text.ended and cells.have_rows


def _column(text: JsonText, where: str) -> Iterator[tuple[str, Cell]]:
    """Take the object of a column, cell by cell."""
    if not text.ended and not text.starts("{"):
        raise NoColumns
    for key in _keys(text):
        if not (key.isascii() and key.isdigit()):
            raise NoColumns
        text.name = f"{where}, row {key})"
        text.value()
        yield key, text.value_text if text.value_is_utf8 else _NOT_UTF8


def _keys(text: JsonText) -> Iterator[str]:
    """Take the object that starts here but for its values: whoever asks for a key takes its own."""
    text.take("{")
    text.skip(SPACE)
    is_over = text.starts("}")
    while not is_over:
        text.expect('"')
        key = text.value()
        if not text.value_is_utf8:
            raise NoColumns
        text.skip(SPACE)
        text.take(":")
        text.skip(SPACE)
        yield key
        text.skip(SPACE)
        is_over = text.starts("}")
        if not is_over:
            text.take(",")
            text.skip(SPACE)
    text.take("}")


def _record(row: dict[str, Cell], where: str) -> Record | BadRow:
    if _NOT_UTF8 in row.values():
        return BadRow(not_utf8(where))
    return TableRow(
        (column, None if cell is None else json.loads(cell)) for column, cell in row.items()
    )
