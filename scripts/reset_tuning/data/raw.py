"""Records out of raw files of any container, told apart by their content and never by their name.

Plain, gzip and zip files; JSON lines, JSON lists, JSON objects, csv with a header, parquet. All but
single JSON objects are streamed, so a file may be larger than memory; of these, MS MARCO's objects
of columns are too.

Parquet is read by the `datasets` library. Its readers of JSON and csv cannot be used for raw files:
they name no line and give up at the first broken row, fill up a csv record that lacks fields, turn
texts into dates (SearchQA), fail on BioASQ's files, and cost many times the CPU. The figures are in
docs/data.md; tests/unit/data/test_data_library.py holds the library to each of these.
"""

import gzip
import io
import logging
import lzma
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from reset_tuning.data.raw_columns import NoColumns, read_columns
from reset_tuning.data.raw_csv import read_csv
from reset_tuning.data.raw_forms import LOOK, Form, form_of, form_of_objects
from reset_tuning.data.raw_json import read_json_lines, read_json_list, read_json_objects
from reset_tuning.data.raw_parquet import Wanted, read_parquet
from reset_tuning.data.rows import BadRow, Count, Row
from reset_tuning.errors import InputError

_logger = logging.getLogger(__name__)

_PEEK = 4096
_BROKEN_STREAM = (
    *(EOFError, OSError, zlib.error, lzma.LZMAError, zipfile.BadZipFile),
    *(NotImplementedError, UnicodeDecodeError),  # of a zip's index
)
_TEXT_READERS = {
    Form.JSON_LIST: read_json_list,
    Form.JSON_LINES: read_json_lines,
    Form.JSON_OBJECTS: read_json_objects,
    Form.CSV: read_csv,
}


def read_records(
    path: Path,
    name: str = "",
    *,
    tolerant: bool = False,
    columns: Sequence[str] = (),
    unless_empty: tuple[str, Count] | None = None,
) -> Iterator[Row]:
    """Yield (source row, record) for every record of a raw file.

    `name` stands for the file in source rows (default: its own name). These count from 1: lines in
    JSON lines and csv (where a record begins), records in everything else, with the row's key
    behind the one of an object of columns; a zip's members follow its name after a slash. Raises
    InputError for a missing, empty, truncated or malformed file, for text that is not UTF-8 and for
    content that is none of the known containers.

    `tolerant`: a broken row behind which reading can go on is a BadRow instead of an error: a line
    of JSON lines, a record of a JSON list that is no object, a csv record with too few or too many
    fields, a row that is not UTF-8. A file that breaks off or whose syntax is lost stays an error.

    `columns`: what is needed of a parquet file's rows (those that it lacks are passed over).
    `unless_empty`: (list column, count): parquet rows whose list is empty do not come; `count` is
    told how many. Other files give whole records, and all of them.
    """
    wanted = Wanted(list(columns), unless_empty)
    for row, record in _read_file(path, name or path.name, wanted):
        if isinstance(record, BadRow) and not tolerant:
            raise InputError(record.reason)
        yield row, record


def _read_file(path: Path, name: str, wanted: Wanted) -> Iterator[Row]:
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
    """Return the stream with a buffer that holds what is looked at to tell what is in it."""
    return io.BufferedReader(stream, 2 * LOOK)


def _read_stream(
    stream: io.BufferedReader,
    name: str,
    wanted: Wanted,
    path: Path | None = None,
) -> Iterator[Row]:
    """Yield the records of a stream; `path` is the file that holds just this, if there is one."""
    head = stream.peek(_PEEK)[:_PEEK]
    if head[:2] == b"\x1f\x8b":
        yield from _read_stream(_buffered(gzip.GzipFile(fileobj=stream)), name, wanted)
    elif head[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        yield from _read_zip(stream, name, wanted)
    elif head[:4] == b"PAR1":
        yield from read_parquet(stream, name, wanted, path)
    else:
        yield from _read_text(stream, name)


def _read_zip(stream: io.BufferedReader, name: str, wanted: Wanted) -> Iterator[Row]:
    """Yield the records of all members in the order of their names."""
    with zipfile.ZipFile(stream) as archive:
        members = _members(archive, name)
        if not members:
            raise InputError(f"{name} is a zip file without members")
        for member in members:
            try:
                content = archive.open(member)
            except RuntimeError as error:  # NotImplementedError is one
                raise InputError(
                    f"{name}/{member.filename} cannot be unpacked ({error}); zip it anew, without "
                    "a password and with the usual compression"
                ) from error
            with content:
                yield from _read_stream(_buffered(content), f"{name}/{member.filename}", wanted)


def _members(archive: zipfile.ZipFile, name: str) -> list[zipfile.ZipInfo]:
    """Return the members to read, in the order of their names; tell of hidden ones."""
    files = [
        member
        for member in archive.infolist()
        if not member.is_dir() and not _is_systems_own(member.filename)
    ]
    hidden = [member.filename for member in files if _is_hidden(member.filename)]
    if hidden:
        _logger.warning(
            "%s: %d members behind a dot are not read, %s first; rename them if they hold data",
            *(name, len(hidden), min(hidden)),
        )
    seen = (member for member in files if not _is_hidden(member.filename))
    return sorted(seen, key=lambda member: member.filename)


def _is_systems_own(member: str) -> bool:
    """Say whether an operating system put a file into a zip: __MACOSX/…, .DS_Store, ._name."""
    path = Path(member)
    return "__MACOSX" in path.parts or path.name == ".DS_Store" or path.name.startswith("._")


def _is_hidden(member: str) -> bool:
    return any(part.startswith(".") for part in Path(member).parts)


def _read_text(stream: io.BufferedReader, name: str) -> Iterator[Row]:
    form = form_of(stream, name)
    if form is Form.JSON_COLUMNS:
        try:
            yield from read_columns(stream, name)
            return
        except NoColumns:
            form = form_of_objects(stream)
    yield from _TEXT_READERS[form](stream, name)
