"""Records out of csv files with a header."""

import csv
import io
import sys
from collections.abc import Iterator

from reset_tuning.data.rows import BadRow, Record, Row, is_utf8, not_utf8, unknown_content
from reset_tuning.errors import InputError


def read_csv(stream: io.BufferedReader, name: str) -> Iterator[Row]:
    """Yield the records of a csv file with a header; a field may hold line breaks."""
    csv.field_size_limit(sys.maxsize)
    text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="")
    try:
        rows = csv.reader(text, strict=True)
        header = next(filter(None, rows), [])
        _check_header(header, name)
        for index, fields in enumerate(rows, start=1):
            if fields:
                yield f"{name}:{index}", _csv_record(header, fields, f"{name} record {index}")
    except csv.Error as error:
        raise InputError(f"{name} is not valid csv near line {rows.line_num}: {error}") from error


def _check_header(fields: list[str], name: str) -> None:
    """Raise InputError for a first line that is not two or more distinct short column names."""
    columns = [field.strip() for field in fields]
    if len(columns) == 1 and (";" in columns[0] or "\t" in columns[0]):
        raise InputError(f"{name} looks like csv without commas; separate its fields by commas")
    short = all(len(column) <= 60 and "\x00" not in column for column in columns)
    if len(columns) < 2 or not short or not all(map(is_utf8, columns)):
        raise InputError(unknown_content(name))
    for column in columns:
        if columns.count(column) > 1:
            raise InputError(f"{name} names the csv column {column!r} twice; rename one of them")


def _csv_record(header: list[str], fields: list[str], where: str) -> Record | BadRow:
    if len(fields) != len(header):
        return BadRow(f"{where} has {len(fields)} fields where the header has {len(header)}")
    if not all(map(is_utf8, fields)):
        return BadRow(not_utf8(where))
    return dict(zip(header, fields, strict=True))
