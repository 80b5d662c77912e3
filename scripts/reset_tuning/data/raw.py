"""Records out of raw files of any container, told apart by their content and never by their name.

Plain, gzip and zip files; JSON lines, JSON lists, JSON objects, csv with a header, parquet. All but
single JSON objects are streamed, so a file may be larger than memory.

Parquet is read by the `datasets` library. Its readers of JSON and csv cannot be used for raw files:
they name no line and give up at the first broken row, fill up a csv record that lacks fields, turn
texts into dates (SearchQA), fail on BioASQ's files, and cost many times the CPU. The figures are in
docs/data.md; tests/unit/data/test_data_library.py holds the library to each of these.
"""

import csv
import gzip
import io
import json
import logging
import shutil
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from reset_tuning.errors import InputError

Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be read, and why; the rows behind it can."""

    reason: str


# Where the record stands ("file:line" or "file:index"), and the record or what is wrong with it.
Row = tuple[str, Record | BadRow]

_logger = logging.getLogger(__name__)
_CHUNK = 1 << 20
_PEEK = 4096
_BOM = b"\xef\xbb\xbf"
_JSON_SPACE = " \t\r\n"
_PARQUET_ROWS = 1000
_MOST_ROW_GROUPS = 500  # that are opened one by one: each opening reads about all of them
_BROKEN_STREAM = (EOFError, gzip.BadGzipFile, zlib.error, zipfile.BadZipFile, OSError)


def read_records(
    path: Path,
    name: str = "",
    *,
    tolerant: bool = False,
    columns: Sequence[str] = (),
    dear: tuple[str, str] | None = None,
) -> Iterator[Row]:
    """Yield (source row, record) for every record of a raw file.

    `name` stands for the file in source rows (default: its own name). These count from 1: lines in
    JSON lines, records in everything else; a zip's members follow its name after a slash. Raises
    InputError for a missing, empty, truncated or malformed file, for text that is not UTF-8 and for
    content that is none of the known containers.

    `tolerant`: a broken row behind which reading can go on is a BadRow instead of an error: a line
    of JSON lines, a record of a JSON list that is no object, a csv record with too few or too many
    fields, a row that is not UTF-8. A file that breaks off or whose syntax is lost stays an error.

    `columns`: what is needed of a parquet file's rows (those that it lacks are passed over).
    `dear`: (column, list column): parquet rows whose list is empty come without the column, which
    costs too much to convert for nothing. Other files give whole records.
    """
    wanted = _Wanted(list(columns), dear)
    for row, record in _read_file(path, name or path.name, wanted):
        if isinstance(record, BadRow) and not tolerant:
            raise InputError(record.reason)
        yield row, record


@dataclass(frozen=True)
class _Wanted:
    """What is needed of a parquet file, see `read_records`."""

    columns: list[str]
    dear: tuple[str, str] | None


def _read_file(path: Path, name: str, wanted: _Wanted) -> Iterator[Row]:
    try:
        stream = path.open("rb")
    except OSError as error:
        raise InputError(
            f"raw file {path} cannot be opened ({error.strerror}); fetch the dataset again"
        ) from error
    try:
        with stream:
            yield from _read_stream(_buffered(stream), name, wanted, path)
    except _BROKEN_STREAM as error:
        raise InputError(
            f"{name} is truncated or damaged ({error}); fetch the file again"
        ) from error


def _buffered(stream: Any) -> io.BufferedReader:
    """Return the stream with a `peek` that is long enough to tell what it holds."""
    return io.BufferedReader(stream, _CHUNK)


def _read_stream(
    stream: io.BufferedReader,
    name: str,
    wanted: _Wanted = _Wanted([], None),
    path: Path | None = None,
) -> Iterator[Row]:
    """Yield the records of a stream; `path` is the file that holds just this, if there is one."""
    head = stream.peek(_PEEK)[:_PEEK]
    if head[:2] == b"\x1f\x8b":
        yield from _read_stream(_buffered(gzip.GzipFile(fileobj=stream)), name, wanted)
    elif head[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        yield from _read_zip(stream, name)
    elif head[:4] == b"PAR1":
        yield from _read_parquet(stream, name, wanted, path)
    else:
        yield from _read_text(stream, head, name)


def _read_zip(stream: io.BufferedReader, name: str) -> Iterator[Row]:
    """Yield the records of all members in the order of their names."""
    # A zip inside another archive cannot seek: its bytes are small enough to hold.
    whole = stream if stream.seekable() else io.BytesIO(stream.read())
    with zipfile.ZipFile(whole) as archive:
        members = sorted(
            member.filename
            for member in archive.infolist()
            if not member.is_dir() and not _is_hidden(member.filename)
        )
        if not members:
            raise InputError(f"{name} is a zip file without members")
        for member in members:
            with archive.open(member) as content:
                yield from _read_stream(_buffered(content), f"{name}/{member}")


def _is_hidden(member: str) -> bool:
    """Say whether a zip member is an operating system's own file (__MACOSX/, .DS_Store)."""
    return any(part.startswith((".", "__MACOSX")) for part in Path(member).parts)


def _read_parquet(
    stream: io.BufferedReader, name: str, wanted: _Wanted, path: Path | None
) -> Iterator[Row]:
    index = 0
    with tempfile.TemporaryDirectory(prefix="raw-parquet-") as folder:
        if path is None:  # packed: the library reads files
            path = Path(folder) / "unpacked.parquet"
            with path.open("wb") as out:
                shutil.copyfileobj(stream, out, _CHUNK)
        try:
            for batch in _parquet_batches(path, wanted.columns, folder):
                for record in _batch_records(batch, wanted.dear):
                    index += 1
                    if record is None:
                        record = BadRow(_not_utf8(f"{name} record {index}"))
                    yield f"{name}:{index}", record
        except pa.ArrowException as error:
            raise InputError(f"{name} is not a readable parquet file: {error}") from error


def _parquet_batches(path: Path, wanted: Sequence[str], cache: str) -> Iterator[pa.RecordBatch]:
    """Yield a parquet file's rows as the `datasets` library streams them, in batches."""
    import datasets

    metadata = pq.read_metadata(path)
    known = metadata.schema.to_arrow_schema().names
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)  # what is wrong is said by us, once
    with _without_torch():
        rows = datasets.load_dataset(
            "parquet",
            data_files=str(path),
            split="train",
            streaming=True,
            columns=[column for column in wanted if column in known] or None,
            batch_size=_PARQUET_ROWS,
            # Pre-buffering would keep every column chunk that was read until the file is closed.
            fragment_scan_options=ds.ParquetFragmentScanOptions(pre_buffer=False),
            cache_dir=cache,
        )
        if metadata.num_row_groups <= _MOST_ROW_GROUPS:
            # Arrow reads up to a gigabyte ahead of us; in one row group it finds nothing to read.
            rows = rows.reshard()
        rows = rows.with_format("arrow")
    for table in rows.iter(_PARQUET_ROWS):
        yield from table.combine_chunks().to_batches()


@contextmanager
def _without_torch() -> Iterator[None]:
    """Keep the library from importing torch, which it asks about its workers: two CPU seconds."""
    import datasets

    available = datasets.config.TORCH_AVAILABLE
    datasets.config.TORCH_AVAILABLE = False
    try:
        yield
    finally:
        datasets.config.TORCH_AVAILABLE = available


def _batch_records(batch: pa.RecordBatch, dear: tuple[str, str] | None) -> Sequence[Record | None]:
    """Return the rows of a batch, None for one that is not UTF-8, which Arrow does not check."""
    try:
        return _utf8_records(batch, dear)
    except UnicodeDecodeError:
        if len(batch) == 1:
            return [None]
    rows = (_batch_records(batch.slice(place, 1), dear) for place in range(len(batch)))
    return [record for one in rows for record in one]


def _utf8_records(batch: pa.RecordBatch, dear: tuple[str, str] | None) -> list[Record]:
    if dear is None or not set(dear) <= set(batch.schema.names):
        return _values(batch.to_struct_array())
    column, deciding = dear
    if not isinstance(batch[deciding].type, pa.ListType | pa.LargeListType):
        return _values(batch.to_struct_array())  # texts, of which "[]" is one
    is_needed = pc.fill_null(pc.not_equal(pc.list_value_length(batch[deciding]), 0), True)
    values = iter(_values(batch[column].filter(is_needed)))
    records = _values(batch.drop_columns([column]).to_struct_array())
    for record, needed in zip(records, is_needed.to_pylist(), strict=True):
        if needed:
            record[column] = next(values)
    return records


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


def _read_text(stream: io.BufferedReader, head: bytes, name: str) -> Iterator[Row]:
    """Tell JSON lists, JSON objects, JSON lines and csv apart by their first characters."""
    first = head.removeprefix(_BOM).lstrip()[:1]
    if not head.strip():
        raise InputError(f"{name} is empty")
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise InputError(f"{name} is UTF-16 text; convert the file to UTF-8")
    if b"\x00" in head:
        raise InputError(_unknown(name))
    if head.startswith(b"version https://git-lfs"):
        raise InputError(f"{name} is a Git LFS pointer, not the data; fetch it with `git lfs pull`")
    if first == b"[":
        yield from _read_json_list(stream, name)
    elif first == b"{":
        yield from _read_json_objects(stream, name)
    elif first == b"<":
        raise InputError(f"{name} is a web page or XML, not a data file; fetch it again")
    else:
        yield from _read_csv(stream, name)


# --- JSON ---------------------------------------------------------------------------------------


def _read_json_objects(stream: io.BufferedReader, name: str) -> Iterator[Row]:
    """Yield JSON lines, or the objects of a file whose first line is not yet a whole object."""
    line = stream.readline().removeprefix(_BOM)
    number = 1
    while not line.strip():
        line, number = stream.readline(), number + 1
    following = stream.readline()
    if not _is_whole_object(line) and not _is_cut_off(line, following):
        rest = io.BufferedReader(_Prefixed(line + following, stream), _CHUNK)
        yield from _read_json_stream(_Text(rest, name, number), name, is_list=False)
        return
    while line:
        if line.strip():
            yield f"{name}:{number}", _record_of_line(line, name, number)
        line, following, number = following, stream.readline(), number + 1


def _is_whole_object(line: bytes) -> bool:
    """Say whether the first line is JSON lines' first record rather than the start of a longer one.

    A line that ends in `}` is taken for one even when malformed, so that its number is reported.
    """
    try:
        json.loads(line)
    except RecursionError:  # an object too deep to be read, reported as such
        return True
    except ValueError:
        return line.rstrip().endswith(b"}") and line.count(b"{") == line.count(b"}")
    return True


def _is_cut_off(line: bytes, following: bytes) -> bool:
    """Say whether a first line that is no whole object does not go on in the next line either."""
    first = line.decode("utf-8", "replace")
    try:
        json.loads(first + following.decode("utf-8", "replace").lstrip())
    except json.JSONDecodeError as error:
        return bool(following.strip()) and error.pos <= len(first)
    except (ValueError, RecursionError):
        pass
    return False


def _record_of_line(line: bytes, name: str, number: int) -> Record | BadRow:
    try:
        record = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError:
        return BadRow(_not_utf8(f"{name} line {number}"))
    except (ValueError, RecursionError) as error:
        # The decoder's whole sentence ends in a position within the line, beside the line's own.
        reason = error.msg if isinstance(error, json.JSONDecodeError) else error
        return BadRow(f"{name} line {number} is not valid JSON: {reason}")
    return _checked(record, f"{name} line {number}")


def _read_json_list(stream: io.BufferedReader, name: str) -> Iterator[Row]:
    """Yield the members of one JSON list without holding the file."""
    yield from _read_json_stream(_Text(stream, name, 1), name, is_list=True)


def _read_json_stream(text: "_Text", name: str, *, is_list: bool) -> Iterator[Row]:
    """Yield the values of a JSON list, or of a sequence of JSON objects, one after the other."""
    index = 0
    text.skip(_JSON_SPACE)
    if is_list:
        text.take("[")
        text.skip(_JSON_SPACE)
    while not text.ended and not (is_list and text.starts("]")):
        index += 1
        record = text.value()
        is_utf8 = text.value_is_utf8
        where = f"{name} record {index}"
        yield f"{name}:{index}", _checked(record, where) if is_utf8 else BadRow(_not_utf8(where))
        text.skip(_JSON_SPACE)
        if is_list and not text.starts("]"):
            text.take(",")
            text.skip(_JSON_SPACE)
    if is_list:
        text.take("]")
    if index == 0:
        raise InputError(f"{name} holds no records")


def _checked(record: Any, where: str) -> Record | BadRow:
    if not isinstance(record, dict):
        return BadRow(f"{where} is a JSON {type(record).__name__}, not an object")
    return record


def _is_utf8(text: str) -> bool:
    """Say whether a text read with `surrogateescape` held nothing but UTF-8."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _not_utf8(where: str) -> str:
    return f"{where} is not UTF-8 text; convert the file to UTF-8"


def _unknown(name: str) -> str:
    known = "JSON lines, a JSON list or object, csv with a header, parquet, gzip or zip"
    return f"{name} holds none of the known contents ({known}); is it the right file?"


class _Prefixed(io.RawIOBase):
    """A stream with some bytes put back in front of it."""

    def __init__(self, prefix: bytes, stream: io.BufferedReader):
        self._prefix, self._stream = prefix, stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        chunk = self._prefix[: len(buffer)] or self._stream.read(len(buffer))
        self._prefix = self._prefix[len(buffer) :]
        buffer[: len(chunk)] = chunk
        return len(chunk)


class _Text:
    """A window over a UTF-8 stream from which JSON values are taken one at a time."""

    def __init__(self, stream: io.BufferedReader, name: str, line: int):
        # Other bytes than UTF-8 become lone surrogates, so that the record they stand in is known.
        self._reader = io.TextIOWrapper(
            stream, encoding="utf-8-sig", errors="surrogateescape", newline=""
        )
        self._name, self._line = name, line
        self.value_is_utf8 = True
        self._buffer, self._position, self._finished = "", 0, False
        self._decoder = json.JSONDecoder()

    @property
    def ended(self) -> bool:
        """Whether nothing is left, neither in the window nor in the stream."""
        return self._position >= len(self._buffer) and not self._grow(_CHUNK)

    def starts(self, character: str) -> bool:
        return not self.ended and self._buffer[self._position] == character

    def skip(self, characters: str) -> None:
        while not self.ended and self._buffer[self._position] in characters:
            self._position += 1

    def take(self, character: str) -> None:
        if not self.starts(character):
            found = "the end of the file" if self.ended else repr(self._buffer[self._position])
            raise InputError(
                f"{self._name} line {self._line_at(self._position)} is not valid JSON: expected "
                f"{character!r}, found {found}; is the file whole?"
            )
        self._position += 1

    def value(self) -> Any:
        """Return the JSON value that starts here; the window grows until it holds it whole."""
        size = _CHUNK
        while True:
            try:
                value, end = self._decoder.raw_decode(self._buffer, self._position)
            except json.JSONDecodeError as error:
                if not self._may_go_on(error) or not self._grow(size):
                    raise InputError(
                        f"{self._name} line {self._line_at(error.pos)} is not valid JSON: "
                        f"{error.msg}; is the file whole?"
                    ) from error
                size *= 2  # doubling keeps the repeated parsing of a long value linear
            except (ValueError, RecursionError) as error:  # a number too long, lists too deep
                raise InputError(
                    f"{self._name}: the record at line {self._line_at(self._position)} cannot be "
                    f"read: {error}; take it out of the file"
                ) from error
            else:
                self.value_is_utf8 = _is_utf8(self._buffer[self._position : end])
                self._position = end
                return value

    def _may_go_on(self, error: json.JSONDecodeError) -> bool:
        """Say whether more text could mend the error: it lies at the end of the window."""
        return error.msg.startswith("Unterminated") or error.pos >= len(self._buffer) - 16

    def _grow(self, size: int) -> bool:
        """Drop what was taken and read on; return False at the end of the stream."""
        if self._finished:
            return False
        more = self._reader.read(size)
        self._line = self._line_at(self._position)
        self._buffer = self._buffer[self._position :] + more
        self._position = 0
        self._finished = not more
        return bool(more)

    def _line_at(self, position: int) -> int:
        return self._line + self._buffer.count("\n", 0, position)


# --- csv ----------------------------------------------------------------------------------------


def _read_csv(stream: io.BufferedReader, name: str) -> Iterator[Row]:
    """Yield the records of a csv file with a header; a field may hold line breaks."""
    csv.field_size_limit(sys.maxsize)
    text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="")
    try:
        rows = csv.reader(text, strict=True)
        header = next(rows)
        if not _is_header(header):
            raise InputError(_unknown(name))
        for index, fields in enumerate(rows, start=1):
            if fields:
                yield f"{name}:{index}", _csv_record(header, fields, f"{name} record {index}")
    except csv.Error as error:
        raise InputError(f"{name} is not valid csv near line {rows.line_num}: {error}") from error


def _is_header(fields: list[str]) -> bool:
    """Say whether a first line can be a csv header: at least two distinct short column names."""
    names = [field.strip() for field in fields]
    short = all(len(name) <= 60 and "\x00" not in name for name in names)
    is_text = all(_is_utf8(name) for name in names)
    return len(names) >= 2 and len(set(names)) == len(names) and short and is_text


def _csv_record(header: list[str], fields: list[str], where: str) -> Record | BadRow:
    if len(fields) != len(header):
        return BadRow(f"{where} has {len(fields)} fields where the header has {len(header)}")
    if not all(map(_is_utf8, fields)):
        return BadRow(_not_utf8(where))
    return dict(zip(header, fields, strict=True))
