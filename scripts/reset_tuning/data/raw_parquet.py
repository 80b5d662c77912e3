"""Records out of parquet files, which the `datasets` library streams."""

import glob
import io
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from reset_tuning.data.rows import BadRow, Count, Record, Row, not_utf8
from reset_tuning.errors import InputError

_ROWS_AT_ONCE = 1000
_BUFFER = 1 << 20  # bytes that are read or copied at once
_ROWS_HELD, _BYTES_HELD = 20_000, 64 << 20  # of the largest row group that is decoded whole
_NOT_NEEDED = ("TORCH_AVAILABLE", "HF_UPDATE_DOWNLOAD_COUNTS")  # settings of the library
_MOST_ROW_GROUPS = 500  # that are opened one by one: each opening reads about all of them


@dataclass(frozen=True)
class Wanted:
    """What is needed of a parquet file, see `raw.read_records`."""

    columns: list[str]
    unless_empty: tuple[str, Count] | None


def read_parquet(
    stream: io.BufferedReader, name: str, wanted: Wanted, path: Path | None
) -> Iterator[Row]:
    """Yield the rows of a parquet stream; `path` is the file that holds just this, if there is one.

    Raises InputError for a file, or a column of those wanted, that cannot be read.
    """
    n_before = 0
    with tempfile.TemporaryDirectory(prefix="raw-parquet-") as folder:
        # The library takes a path for a pattern ("train[1]") or a chain of file systems ("a::b").
        file = Path(folder) / "raw.parquet"
        if path is not None:
            file.symlink_to(path.absolute())
        else:  # packed: the library reads files
            with file.open("wb") as out:
                shutil.copyfileobj(stream, out, _BUFFER)
        try:
            for batch in _parquet_batches(file, name, wanted.columns):
                places, rows = _without_empty(batch, wanted.unless_empty)
                for place, record in zip(places, _batch_records(rows), strict=True):
                    index = n_before + place + 1
                    if record is None:
                        record = BadRow(not_utf8(f"{name} record {index}"))
                    yield f"{name}:{index}", record
                n_before += len(batch)
        except pa.ArrowException as error:
            reason = str(error).partition("\n")[0]
            raise InputError(f"{name} is not a readable parquet file: {reason}") from error


def _parquet_batches(path: Path, name: str, wanted: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Yield a parquet file's rows in batches; of the columns those that are wanted."""
    metadata = pq.read_metadata(path)
    fields = list(metadata.schema.to_arrow_schema())
    names = [field.name for field in fields]
    if twice := {column for column in names if names.count(column) > 1}:
        raise InputError(
            f"{name} is not a readable parquet file: it has two columns {min(twice)!r}; write the "
            "file without one of them"
        )
    # In the file's order, or the library casts every batch to that.
    needed = [field for field in fields if field.name in wanted]
    columns = [field.name for field in needed] or None
    features = _features(needed or fields)
    if features is None or _has_large_row_groups(metadata):
        with pq.ParquetFile(path, buffer_size=_BUFFER, pre_buffer=False) as file:
            yield from file.iter_batches(_ROWS_AT_ONCE, columns=columns)
    else:
        yield from _library_batches(path, columns, features, metadata.num_row_groups)


def _has_large_row_groups(metadata: pq.FileMetaData) -> bool:
    """Say whether a file has a row group that is too large to hold: the library decodes it whole.

    Writers other than the hub's put a million rows into one.
    """
    groups = (metadata.row_group(place) for place in range(metadata.num_row_groups))
    return any(g.num_rows > _ROWS_HELD or g.total_byte_size > _BYTES_HELD for g in groups)


def _library_batches(
    path: Path, columns: list[str] | None, features: Any, n_row_groups: int
) -> Iterator[pa.RecordBatch]:
    """Yield a parquet file's rows as the `datasets` library streams them."""
    import datasets

    datasets.logging.set_verbosity(datasets.logging.CRITICAL)  # what is wrong is said by us, once
    with _by_itself():
        rows = datasets.load_dataset(
            "parquet",
            data_files=glob.escape(str(path)),
            split="train",
            streaming=True,
            columns=columns,
            features=features,
            batch_size=_ROWS_AT_ONCE,
            # Pre-buffering would keep every column chunk that was read until the file is closed.
            fragment_scan_options=ds.ParquetFragmentScanOptions(pre_buffer=False),
            cache_dir=str(path.parent),
        )
        if n_row_groups <= _MOST_ROW_GROUPS:
            # Arrow reads up to a gigabyte ahead of us; in one row group it finds nothing to read.
            rows = rows.reshard()
        rows = rows.with_format("arrow")
    for table in rows.iter(_ROWS_AT_ONCE):
        yield from table.combine_chunks().to_batches()


def _features(fields: Sequence[pa.Field]) -> Any:
    """Return the library's types of the columns, from those of Arrow alone; None if it lacks one.

    Left to itself it would ask the columns that are not needed too, and the file's own metadata.
    """
    from datasets import Features

    try:
        return Features.from_arrow_schema(pa.schema(fields))
    except ValueError:
        return None


@contextmanager
def _by_itself() -> Iterator[None]:
    """Keep the library from what a local file does not need.

    It imports torch to ask about its workers (two CPU seconds) and tells the hub of every file that
    is opened, which a node without a network waits for.
    """
    from datasets import config

    before = {name: getattr(config, name) for name in _NOT_NEEDED}
    for name in _NOT_NEEDED:
        setattr(config, name, False)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(config, name, value)


def _without_empty(
    batch: pa.RecordBatch, unless_empty: tuple[str, Count] | None
) -> tuple[Sequence[int], pa.RecordBatch]:
    """Return the places of the rows to read and these rows; the others are counted."""
    everything = range(len(batch)), batch
    if unless_empty is None:
        return everything
    column, count = unless_empty
    if not isinstance(batch[column].type, pa.ListType | pa.LargeListType):
        return everything  # texts, of which "[]" is one
    is_filled = pc.fill_null(pc.not_equal(pc.list_value_length(batch[column]), 0), True)
    rows = batch.filter(is_filled)
    count(len(batch) - len(rows))
    return pc.indices_nonzero(is_filled).to_pylist(), rows


def _batch_records(batch: pa.RecordBatch) -> Sequence[Record | None]:
    """Return the rows of a batch, None for one that is not UTF-8, which Arrow does not check."""
    try:
        return _values(batch.to_struct_array())
    except UnicodeDecodeError:
        if len(batch) == 1:
            return [None]
    rows = (_batch_records(batch.slice(place, 1)) for place in range(len(batch)))
    return [record for one in rows for record in one]


def _values(array: pa.Array) -> list[Any]:
    """Return an array's values as Python's, as `to_pylist` does, three times as fast when nested.

    Structs and lists are converted a column at a time; only those that hold nulls row by row.
    """
    if array.null_count or not len(array):
        return array.to_pylist()
    if pa.types.is_struct(array.type):
        names = [field.name for field in array.type]
        columns = [_values(column) for column in array.flatten()]
        return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
    if pa.types.is_list(array.type):
        ends = array.offsets.to_pylist()
        items = _values(array.values[ends[0] : ends[-1]])
        first = ends[0]
        return [
            items[start - first : end - first] for start, end in zip(ends, ends[1:], strict=False)
        ]
    return array.to_pylist()
