"""Tables of rows with an `example_id` that may be larger than memory, in the order of their ids.

Rows are held until they fill a buffer. What does not fit waits in temporary files, one for each
range of ids (ids are hashes, so the ranges fill evenly), and each range is then sorted by itself.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from reset_tuning.files import work_folder
from reset_tuning.tables import table_schema, writing_table

ExampleRow = dict[str, Any]  # a row of the `example` table

BUFFER_BYTES = 64_000_000
_RANGES = 64
_ROWS_AT_ONCE = 1000


def write_examples(
    rows: Iterable[ExampleRow],
    path: Path,
    metadata: dict[str, str],
    buffer_bytes: int = BUFFER_BYTES,
) -> int:
    """Write rows as an `example` table sorted by id and return how many there were.

    Memory stays at about twice the buffer and a 64th of the table, whatever the rows. Raises
    InputError as `write_table` does.
    """
    schema = table_schema("example")
    rows, n_rows = iter(rows), 0
    with work_folder(path) as folder:
        spool = Spool(folder / "examples", schema, buffer_bytes)
        while some := list(islice(rows, _ROWS_AT_ONCE)):
            n_rows += len(some)
            spool.add(pa.Table.from_pylist(some, schema))
        with writing_table(path, "example", metadata) as out:
            for part in spool.parts():
                out.write(part.to_pandas())
    return n_rows


class Spool:
    """Rows in any order, given back in parts: each a range of ids, the ranges in their order."""

    def __init__(self, folder: Path, schema: pa.Schema, buffer_bytes: int = BUFFER_BYTES) -> None:
        self._folder, self._schema, self._limit = folder, schema, buffer_bytes
        self._buffer: list[pa.Table] = []
        self._size = 0
        self._writers: dict[int, pq.ParquetWriter] = {}

    def add(self, rows: pa.Table) -> None:
        """Take rows in; they are written to the ranges' files when the buffer is full."""
        self._buffer.append(rows)
        self._size += rows.nbytes
        if self._size >= self._limit:
            self._spill()

    def parts(self, columns: list[str] | None = None) -> Iterator[pa.Table]:
        """Yield all rows (or some of their columns); no more may be added afterwards.

        Rows of one id stand in one part. Without rows there is one empty part.
        """
        if self._writers:
            self._spill()
            for writer in self._writers.values():
                writer.close()
            for number in sorted(self._writers):
                yield pq.read_table(self._path(number), columns=columns)
        else:
            rows = pa.concat_tables([self._schema.empty_table(), *self._buffer])
            yield rows.select(columns) if columns else rows

    def _spill(self) -> None:
        if not self._buffer:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        rows = pa.concat_tables(self._buffer).combine_chunks()  # else each `take` combines them
        self._buffer, self._size = [], 0
        numbers = np.array([int(id_[:2], 16) for id_ in rows["example_id"].to_pylist()])
        numbers = numbers * _RANGES // 256
        for number in np.unique(numbers):
            if number not in self._writers:
                self._writers[number] = pq.ParquetWriter(self._path(number), self._schema)
            self._writers[number].write_table(rows.take(np.flatnonzero(numbers == number)))

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:02d}.parquet"
