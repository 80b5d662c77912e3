"""Tables of examples that may be larger than memory, written in the order of their key.

Rows are held until they fill a buffer. What does not fit waits in temporary files, one for each
range of ids (ids are hashes, so the ranges fill evenly), and each range is then sorted by itself.
"""

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from reset_tuning.files import atomic_path
from reset_tuning.tables import conform, table_schema, write_table

ExampleRow = dict[str, Any]  # a row of the `example` table

_BUFFER_CHARACTERS = 64_000_000
_RANGES = 64
_ROW_OVERHEAD = 1000  # characters' worth of a row's objects besides its texts


def write_examples(
    rows: Iterable[ExampleRow],
    path: Path,
    metadata: dict[str, str],
    buffer_characters: int = _BUFFER_CHARACTERS,
) -> int:
    """Write rows as an `example` table sorted by id and return how many there were.

    Memory stays at about twice the buffer and a 64th of the table, whatever the rows. Raises
    InputError as `write_table` does.
    """
    with tempfile.TemporaryDirectory(dir=_folder(path), prefix=".examples-") as folder:
        ranges = _Ranges(Path(folder))
        n_rows, buffer, n_characters = 0, [], 0
        for row in rows:
            n_rows += 1
            buffer.append(row)
            n_characters += _size(row)
            if n_characters >= buffer_characters:
                ranges.add(buffer)
                buffer, n_characters = [], 0
        if ranges.is_empty:
            write_table(_frame(buffer), path, "example", metadata)
        else:
            ranges.add(buffer)
            ranges.write_sorted(path, metadata)
    return n_rows


def _folder(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.parent


def _size(row: ExampleRow) -> int:
    texts = (row["instruction"], row["context"], row["question"], *row["references"])
    return _ROW_OVERHEAD + sum(len(text) for text in texts if text)


def _frame(rows: list[ExampleRow]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=table_schema("example").names)


class _Ranges:
    """Unsorted parts of a table in files, by the first digits of the id."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writers: dict[int, pq.ParquetWriter] = {}

    @property
    def is_empty(self) -> bool:
        return not self._writers

    def add(self, rows: list[ExampleRow]) -> None:
        """Append rows to the files of their ranges."""
        divided: dict[int, list[ExampleRow]] = {}
        for row in rows:
            number = int(row["example_id"][:2], 16) * _RANGES // 256
            divided.setdefault(number, []).append(row)
        schema = table_schema("example")
        for number, part in divided.items():
            if number not in self._writers:
                self._writers[number] = pq.ParquetWriter(self._path(number), schema)
            self._writers[number].write_table(pa.Table.from_pylist(part, schema))

    def write_sorted(self, path: Path, metadata: dict[str, str]) -> None:
        """Write all ranges in their order, each sorted and checked, as one table."""
        for writer in self._writers.values():
            writer.close()
        schema = table_schema("example").with_metadata(metadata)
        with atomic_path(path) as temporary, pq.ParquetWriter(temporary, schema) as out:
            for number in sorted(self._writers):
                part = pq.read_table(self._path(number)).to_pandas()
                self._path(number).unlink()
                rows = conform(part, path, "example")
                out.write_table(rows.replace_schema_metadata(metadata))

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:02d}.parquet"
