"""Reading and writing of every table: columns, types, nullability and row order in one place.

The columns are declared in schemas/tables.yaml; a file that breaks them is never written.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from reset_tuning.errors import InputError
from reset_tuning.files import atomic_path, read_yaml

SCHEMA_FILE = Path(__file__).resolve().parents[2] / "schemas" / "tables.yaml"
CSV_FLOATS = "%.6g"

# Files that are not called as their table is declared.
_NAMES_OF_FILES = {"row_ledger": "ledger", "trajectories": "trajectory"}

_TYPES = {
    "string": pa.string(),
    "int": pa.int64(),
    "float": pa.float64(),
    "bool": pa.bool_(),
    "strings": pa.list_(pa.string()),
    "ints": pa.list_(pa.int64()),
    "floats": pa.list_(pa.float64()),
}


@cache
def _declarations() -> dict[str, Any]:
    return read_yaml(SCHEMA_FILE)


def table_schema(name: str, columns: Iterable[str] = ()) -> pa.Schema:
    """Return the Arrow schema of a declared table; raise InputError for an unknown name.

    A table whose columns depend on the test sets declares patterns, `numbers`: those of `columns`
    that match one are nullable floats after the declared ones.
    """
    tables = _declarations()
    if name not in tables:
        raise InputError(f"table {name!r} is not declared in {SCHEMA_FILE.name}")
    declared = tables[name]["columns"]
    patterns = tables[name].get("numbers", {})
    numbers = [
        column
        for column in columns
        if column not in declared and any(re.fullmatch(pattern, column) for pattern in patterns)
    ]
    return pa.schema(
        [
            pa.field(column, _TYPES[spec["type"]], nullable=spec.get("nullable", False))
            for column, spec in declared.items()
        ]
        + [pa.field(column, pa.float64()) for column in numbers]
    )


def table_key(file: str) -> list[str]:
    """Return the columns that tell the rows of metrics/<file>.csv apart; none if undeclared."""
    return list(_of_file(file).get("key", []))


def shown_columns(file: str, columns: Sequence[str]) -> list[str]:
    """Return the columns of metrics/<file>.csv in the order in which its page shows them."""
    first = [name for name in _of_file(file).get("shown_first", []) if name in columns]
    return first + [name for name in columns if name not in first]


def describe_table(file: str, columns: Iterable[str]) -> tuple[str, dict[str, str]]:
    """Return what metrics/<file>.csv holds, and what those columns mean where that is said."""
    table = _of_file(file)
    declared, patterns = table.get("columns", {}), table.get("numbers", {})
    meanings = {}
    for column in columns:
        if column in declared:
            meanings[column] = declared[column].get("description", "")
        else:
            found = (text for pattern, text in patterns.items() if re.fullmatch(pattern, column))
            meanings[column] = next(found, "")
    return table.get("description", "").strip(), {
        column: text.strip() for column, text in meanings.items() if text
    }


def _of_file(file: str) -> dict[str, Any]:
    return _declarations().get(_NAMES_OF_FILES.get(file, file), {})


def write_table(
    frame: pd.DataFrame, path: Path, name: str, metadata: dict[str, str] | None = None
) -> None:
    """Write rows as the declared table `name` (parquet or csv by suffix), sorted by its key.

    Raises InputError when a column is missing or undeclared, holds a wrong type or an undeclared
    null, or when two rows share the table's key. `metadata` goes into the parquet file's header.
    Columns declared `optional` are filled with nulls where the frame lacks them.
    """
    table = conform(frame, path, name)
    with atomic_path(path) as temporary:
        if path.suffix == ".csv":
            table.to_pandas().to_csv(temporary, index=False, float_format=CSV_FLOATS)
        else:
            pq.write_table(table.replace_schema_metadata(metadata or {}), temporary)


class TableWriter:
    """Appends parts of a table whose rows come in the order of the table; see `writing_table`."""

    def __init__(self, path: Path, name: str, writer: pq.ParquetWriter) -> None:
        self._path, self._name, self._writer = path, name, writer
        self._order = _declarations()[name].get("sort") or _declarations()[name].get("key", [])
        self._last: tuple[Any, ...] | None = None

    def write(self, frame: pd.DataFrame) -> None:
        """Append rows, sorted among themselves; raise InputError when they belong further up."""
        if frame.empty:
            return
        table = conform(frame, self._path, self._name)
        ends = [
            table.slice(row, 1).select(self._order).to_pylist()[0] for row in (0, len(frame) - 1)
        ]
        first, last = (tuple(end.values()) for end in ends)
        if self._last is not None and first <= self._last:
            raise InputError(
                f"{self._path}: a row of the {self._name} table comes out of order or twice: "
                f"{first}"
            )
        self._last = last
        self._writer.write_table(table.cast(self._writer.schema))


@contextmanager
def writing_table(
    path: Path, name: str, metadata: dict[str, str] | None = None
) -> Iterator[TableWriter]:
    """Write a parquet table part by part, so that memory holds a part and not the table.

    The file appears when the block ends well. Faults are those of `write_table`.
    """
    schema = table_schema(name).with_metadata(metadata or {})
    with atomic_path(path) as temporary, pq.ParquetWriter(temporary, schema) as writer:
        yield TableWriter(path, name, writer)


def read_table(path: Path, name: str) -> pd.DataFrame:
    """Read a declared table; raise InputError naming the file if its columns are others."""
    table_schema(name)  # an unknown name is said first
    try:
        frame = _read_csv(path, name) if path.suffix == ".csv" else pq.read_table(path).to_pandas()
    except (
        *(OSError, UnicodeDecodeError, pa.ArrowInvalid),
        *(pd.errors.ParserError, pd.errors.EmptyDataError),
    ) as error:
        raise _unreadable(path, name, error) from error
    return _declared(frame, path, name)


def read_parts(
    path: Path, name: str, n_rows: int, columns: Sequence[str] | None = None
) -> Iterator[pd.DataFrame]:
    """Yield a declared parquet table in parts of at most `n_rows` rows, as `read_table` does.

    With `columns` only those are read.
    """
    try:
        file = pq.ParquetFile(path, pre_buffer=False)
        for batch in file.iter_batches(n_rows, columns=columns):
            yield _declared(batch.to_pandas(), path, name, columns)
    except (OSError, pa.ArrowInvalid) as error:
        raise _unreadable(path, name, error) from error


def _unreadable(path: Path, name: str, error: Exception) -> InputError:
    return InputError(f"{path} cannot be read as a {name} table: {error}")


def _declared(
    frame: pd.DataFrame, path: Path, name: str, columns: Sequence[str] | None = None
) -> pd.DataFrame:
    """Return rows with the table's columns (or some of them) in order, lists as lists."""
    frame = with_optional(frame, name) if columns is None else frame
    schema = table_schema(name, frame.columns)
    wanted = list(columns or schema.names)
    if set(frame.columns) != set(wanted):
        wrong = sorted(set(frame.columns) ^ set(wanted))
        raise InputError(f"{path} is not a {name} table: its columns differ in {', '.join(wrong)}")
    for field in schema:
        if pa.types.is_list(field.type) and field.name in wanted:
            frame[field.name] = frame[field.name].map(_listed)
    return frame[wanted]


def _read_csv(path: Path, name: str) -> pd.DataFrame:
    """Read a CSV file whose declared texts stay texts, also where they read "1", "None" or "NA".

    An empty one is a null where the column may hold nulls.
    """
    columns = _declarations()[name]["columns"]
    header = pd.read_csv(path, nrows=0).columns
    declared = [column for column in header if columns.get(column, {}).get("type") == "string"]
    # Read by themselves: what stands for a null among the numbers does not do so among the texts.
    texts = pd.read_csv(path, usecols=declared, dtype=str, keep_default_na=False)
    for column in texts:
        if columns[column].get("nullable"):
            texts[column] = texts[column].mask(texts[column] == "")
    others = pd.read_csv(path, usecols=header.difference(declared))
    return pd.concat([texts, others], axis="columns")[list(header)]


def _listed(value: Any) -> list[Any] | None:
    return None if value is None else list(value)


def with_optional(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    """Add the optional columns that a frame lacks, as nulls."""
    columns = _declarations()[name]["columns"]
    lacking = [
        column
        for column, spec in columns.items()
        if spec.get("optional") and column not in frame.columns
    ]
    return frame.assign(**dict.fromkeys(lacking)) if lacking else frame


def conform(frame: pd.DataFrame, path: Path, name: str) -> pa.Table:
    """Return the rows as an Arrow table of the declared schema, in the declared order.

    Raises InputError as `write_table` does; `path` names the table in its sentence. A frame without
    rows and columns is the table without rows: there was nothing to tabulate.
    """
    declared = table_schema(name)
    if frame.empty and not len(frame.columns):
        return declared.empty_table()
    frame = with_optional(frame, name)
    schema = table_schema(name, frame.columns)
    wrong = sorted(set(frame.columns) ^ set(schema.names))
    if wrong:
        raise InputError(f"{path}: the columns of a {name} table differ in {', '.join(wrong)}")
    key = _declarations()[name].get("key", [])
    if key:
        if frame.duplicated(key).any():
            row = frame[frame.duplicated(key)].iloc[0][key].to_dict()
            raise InputError(f"{path}: two rows of the {name} table share the key {row}")
        order = _declarations()[name].get("sort", key)
        frame = frame.sort_values(order, kind="stable") if order else frame
    for field in schema:
        if not field.nullable and frame[field.name].isna().any():
            raise InputError(f"{path}: column {field.name} of the {name} table holds nulls")
    try:
        return pa.Table.from_pandas(frame[schema.names], schema=schema, preserve_index=False)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise InputError(
            f"{path}: a column of the {name} table has a wrong type: {error}"
        ) from error
