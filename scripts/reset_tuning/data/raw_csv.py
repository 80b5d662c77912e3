"""Records out of csv files with a header."""

import csv
import io
from collections.abc import Iterator

from reset_tuning.data.rows import BadRow, Record, Row, is_utf8, not_utf8, unknown_content
from reset_tuning.errors import InputError

_LONGEST_FIELD = 1 << 25  # characters; behind an open quote the file is one field


def read_csv(stream: io.BufferedReader, name: str) -> Iterator[Row]:
    """Yield the records of a csv file with a header; a field may hold line breaks."""
    csv.field_size_limit(_LONGEST_FIELD)
    text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="")
    records = _records(text, name)
    _, fields = next(records, (1, []))
    header = _header(fields, name)
    for line, fields in records:
        yield f"{name}:{line}", _csv_record(header, fields, f"{name} line {line}")


def _records(text: io.TextIOWrapper, name: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the records that are not blank, each behind the line in which it begins."""
    rows = csv.reader(text, strict=True)
    begin = 1
    try:
        for fields in rows:
            if fields:
                yield begin, fields
            begin = rows.line_num + 1
    except csv.Error as error:
        raise InputError(
            f"{name} is not valid csv in the record that begins in line {begin}: {error}; mend its "
            "quotes"
        ) from error


def _header(fields: list[str], name: str) -> list[str]:
    """Return the column names without blanks around them.

    Raises InputError for a first line that is not two or more distinct short column names.
    """
    columns = [field.strip() for field in fields]
    if len(columns) == 1 and (";" in columns[0] or "\t" in columns[0]):
        raise InputError(f"{name} looks like csv without commas; separate its fields by commas")
    short = all(len(column) <= 60 and "\x00" not in column for column in columns)
    if len(columns) < 2 or not short or not all(map(is_utf8, columns)):
        raise InputError(unknown_content(name))
    for column in columns:
        if columns.count(column) > 1:
            raise InputError(f"{name} names the csv column {column!r} twice; rename one of them")
    return columns


def _csv_record(header: list[str], fields: list[str], where: str) -> Record | BadRow:
    if len(fields) != len(header):
        return BadRow(f"{where} has {len(fields)} fields where the header has {len(header)}")
    if not all(map(is_utf8, fields)):
        return BadRow(not_utf8(where))
    return dict(zip(header, fields, strict=True))
