"""Reading and writing of every table: columns, types, nullability and row order in one place.

The columns are declared in schemas/tables.yaml; a file that breaks them is never written.
"""

from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from reset_tuning.errors import InputError
from reset_tuning.files import atomic_path

SCHEMA_FILE = Path(__file__).resolve().parents[2] / "schemas" / "tables.yaml"
CSV_FLOATS = "%.6g"

_TYPES = {
    "string": pa.string(),
    "int": pa.int64(),
    "float": pa.float64(),
    "bool": pa.bool_(),
    "strings": pa.list_(pa.string()),
    "ints": pa.list_(pa.int64()),
}


@cache
def _declarations() -> dict[str, Any]:
    return yaml.safe_load(SCHEMA_FILE.read_text())


def table_schema(name: str) -> pa.Schema:
    """Return the Arrow schema of a declared table; raise InputError for an unknown name."""
    tables = _declarations()
    if name not in tables:
        raise InputError(f"table {name!r} is not declared in {SCHEMA_FILE.name}")
    return pa.schema(
        pa.field(column, _TYPES[spec["type"]], nullable=spec.get("nullable", False))
        for column, spec in tables[name]["columns"].items()
    )


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


def read_table(path: Path, name: str) -> pd.DataFrame:
    """Read a declared table; raise InputError naming the file if its columns are others."""
    schema = table_schema(name)
    try:
        frame = pd.read_csv(path) if path.suffix == ".csv" else pq.read_table(path).to_pandas()
    except (OSError, pa.ArrowInvalid, pd.errors.ParserError) as error:
        raise InputError(f"{path} cannot be read as a {name} table: {error}") from error
    frame = with_optional(frame, name)
    if set(frame.columns) != set(schema.names):
        wrong = sorted(set(frame.columns) ^ set(schema.names))
        raise InputError(f"{path} is not a {name} table: its columns differ in {', '.join(wrong)}")
    for field in schema:
        if pa.types.is_list(field.type):
            frame[field.name] = frame[field.name].map(_listed)
    return frame[schema.names]


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

    Raises InputError as `write_table` does; `path` names the table in its sentence.
    """
    schema = table_schema(name)
    frame = with_optional(frame, name)
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
