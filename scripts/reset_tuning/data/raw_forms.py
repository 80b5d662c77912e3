"""What a raw text file holds, told by how it begins and never by its name."""

import codecs
import io
import json
import re
from collections.abc import Iterator
from enum import Enum, auto

from reset_tuning.data.rows import BOM, unknown_content
from reset_tuning.errors import InputError

LOOK = 1 << 20  # bytes that are looked at; a first line is looked at whole, however long
_SIGNS = 4096  # of these, those that may hold no zero byte
_OTHER_BOMS = {  # UTF-32 first: in one byte order it begins like UTF-16
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
_COLUMN = re.compile(rb'\{\s*"(?:[^"\\]|\\.)*"\s*:\s*\{\s*"[0-9]+"\s*:')
_OBJECT = re.compile(rb'[ \t]*\{[ \t]*"(?:[^"\\]|\\.)+"[ \t]*:')


class Form(Enum):
    """What a text file holds."""

    JSON_LIST = auto()
    JSON_COLUMNS = auto()  # one object of columns, by all appearances
    JSON_LINES = auto()
    JSON_OBJECTS = auto()  # one after the other, each over as many lines as it likes
    CSV = auto()


def form_of(stream: io.BufferedReader, name: str) -> Form:
    """Tell what a text file holds; the stream is at its beginning before and after.

    Its buffer holds more than LOOK bytes: to go back is dear in a packed one, and seldom needed.
    Raises InputError for a file that holds no data or none that is known.
    """
    head = _look(stream)
    text = head.removeprefix(BOM).lstrip()
    first_line = text.partition(b"\n")[0]
    _refuse(head, text, first_line, name)
    if text.startswith(b"["):
        return Form.JSON_LIST
    if text.startswith(b"{") and _may_be_columns(text):
        return Form.JSON_COLUMNS
    if text.startswith(b"{") or first_line.strip() == b"null":
        return form_of_objects(stream)
    # Behind a line of something else: csv would have an object quoted.
    return Form.JSON_LINES if _has_json_line(head) else Form.CSV


def form_of_objects(stream: io.BufferedReader) -> Form:
    """Tell JSON lines from objects of several lines, or of several on the first line."""
    first, second, third = _first_lines(stream)
    is_line = _is_whole_object(first) or _is_cut_off(first, second, third)
    return Form.JSON_LINES if is_line and not _holds_several(first) else Form.JSON_OBJECTS


def _look(stream: io.BufferedReader) -> bytes:
    return stream.peek(LOOK)[:LOOK]


def _refuse(head: bytes, text: bytes, first_line: bytes, name: str) -> None:
    """Raise InputError for what is no data; `text` is the head from its first character on."""
    if not text:
        begins = "begins with 1 MiB of white space; is it the right file?"
        raise InputError(f"{name} {begins if len(head) >= LOOK else 'is empty'}")
    for begin, encoding in _OTHER_BOMS.items():
        if head.startswith(begin):
            raise InputError(f"{name} is {encoding} text; convert the file to UTF-8")
    # Further down in JSON a zero byte is the fault of its line alone.
    if b"\x00" in (first_line if text[:1] in (b"{", b"[") else head)[:_SIGNS]:
        raise InputError(unknown_content(name))
    if text.startswith(b"version https://git-lfs"):
        raise InputError(f"{name} is a Git LFS pointer, not the data; fetch it with `git lfs pull`")
    if text.startswith(b"<"):
        raise InputError(f"{name} is a web page or XML, not a data file; fetch it again")


def _may_be_columns(text: bytes) -> bool:
    """Say whether the first value is an object with a number for a key.

    A line that begins a further object is one of JSON lines.
    """
    return b"\n{" not in text and _COLUMN.match(text) is not None


def _has_json_line(head: bytes) -> bool:
    """Say whether a line behind the first is a JSON object by itself."""
    _, *lines = head.split(b"\n")
    if len(head) >= LOOK and len(lines) == 1:  # it is cut
        return _OBJECT.match(lines[0]) is not None
    return any(_is_object(line) for line in lines if _OBJECT.match(line))


def _first_lines(stream: io.BufferedReader) -> tuple[bytes, bytes, bytes]:
    """Return the first three lines that are not blank; empty ones where there are fewer."""
    head = _look(stream).removeprefix(BOM)
    lines = list(io.BytesIO(head))
    if len(head) >= LOOK - len(BOM):  # it may go on
        del lines[-1]
        if sum(map(bool, map(bytes.strip, lines))) < 3:
            return _first_long_lines(stream)
    return _three(iter(lines))


def _first_long_lines(stream: io.BufferedReader) -> tuple[bytes, bytes, bytes]:
    stream.seek(len(BOM) if _look(stream).startswith(BOM) else 0)
    lines = _three(iter(stream.readline, b""))
    stream.seek(0)
    return lines


def _three(lines: Iterator[bytes]) -> tuple[bytes, bytes, bytes]:
    full = (line for line in lines if line.strip())
    return next(full, b""), next(full, b""), next(full, b"")


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line.decode("utf-8")), dict)
    except (ValueError, RecursionError):
        return False


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


def _holds_several(line: bytes) -> bool:
    """Say whether objects stand on the first line one after another, without a line break."""
    text, decoder = line.decode("utf-8", "replace").lstrip(), json.JSONDecoder()
    try:
        _, end = decoder.raw_decode(text)
        second, _ = decoder.raw_decode(text[end:].lstrip())
    except (ValueError, RecursionError):
        return False
    return isinstance(second, dict)


def _is_cut_off(line: bytes, second: bytes, third: bytes) -> bool:
    """Say whether a first line that is no whole object does not go on in the next line either.

    Where an object may follow, behind `[` or `:`, the third line tells: within one record a comma
    or a bracket stands behind that object.
    """
    if _is_object(second) and not third.lstrip().startswith((b",", b"]", b"}")):
        return True
    first = line.decode("utf-8", "replace")
    try:
        json.loads(first + second.decode("utf-8", "replace").lstrip())
    except json.JSONDecodeError as error:
        return bool(second) and error.pos <= len(first)
    except (ValueError, RecursionError):
        pass
    return False
