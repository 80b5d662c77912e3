"""Records out of JSON lines, JSON lists and sequences of JSON objects, none of them held whole."""

import io
import itertools
import json
import re
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from reset_tuning.data.rows import BOM, BadRow, Record, Row, is_utf8, not_utf8
from reset_tuning.errors import InputError

_CHUNK = 1 << 20
SPACE = " \t\r\n"
_OBJECT = re.compile(rb'[ \t]*\{[ \t]*"(?:[^"\\]|\\.)+"[ \t]*:')  # what an object begins with


def read_json_objects(stream: io.BufferedReader, name: str) -> Iterator[Row]:
    """Yield JSON lines, or the objects of a file whose first line does not hold just one."""
    begin = _begin(stream)
    full = [line for line in begin if line.strip()]
    is_one = _is_whole_object(full[0]) or _is_cut_off(*full)
    if is_one and not _holds_several(full[0]):
        yield from read_json_lines(stream, name, begin)
        return
    rest = io.BufferedReader(_Prefixed(b"".join(begin), stream), _CHUNK)
    yield from _read_stream(JsonText(rest, name), name, is_list=False)


def read_json_lines(
    stream: io.BufferedReader, name: str, begin: Sequence[bytes] = ()
) -> Iterator[Row]:
    """Yield a record of every line that is not blank; `begin` was taken from the stream already."""
    for number, line in enumerate(itertools.chain(begin, stream), start=1):
        if line.strip():
            yield f"{name}:{number}", _record_of_line(line, name, number)


def has_json_line(head: bytes) -> bool:
    """Say whether a line behind the first is a JSON object by itself: csv would have it quoted."""
    _, *lines = head.split(b"\n")
    if len(head) >= _CHUNK and len(lines) == 1:  # it is cut
        return _OBJECT.match(lines[0]) is not None
    objects = (line for line in lines if _OBJECT.match(line))
    return any(isinstance(_record_of_line(line, "", 0), dict) for line in objects)


def _begin(stream: io.BufferedReader) -> list[bytes]:
    """Return the first lines: up to three that are not blank, and the blank ones among them."""
    lines = [stream.readline().removeprefix(BOM)]
    n_full = int(bool(lines[0].strip()))
    while n_full < 3 and (line := stream.readline()):
        lines.append(line)
        n_full += bool(line.strip())
    return lines


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


def _is_cut_off(line: bytes, second: bytes = b"", third: bytes = b"") -> bool:
    """Say whether a first line that is no whole object does not go on in the next line either.

    Where an object may follow, behind `[` or `:`, the third line tells: within one record a comma
    or a bracket stands behind that object.
    """
    is_object = isinstance(_record_of_line(second, "", 2), dict)
    if is_object and not third.lstrip().startswith((b",", b"]", b"}")):
        return True
    first = line.decode("utf-8", "replace")
    try:
        json.loads(first + second.decode("utf-8", "replace").lstrip())
    except json.JSONDecodeError as error:
        return bool(second) and error.pos <= len(first)
    except (ValueError, RecursionError):
        pass
    return False


def _record_of_line(line: bytes, name: str, number: int) -> Record | BadRow:
    try:
        record = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError:
        return BadRow(not_utf8(f"{name} line {number}"))
    except (ValueError, RecursionError) as error:
        return BadRow(f"{name} line {number} is not valid JSON: {_reason(error)}")
    return _checked(record, f"{name} line {number}")


def _reason(error: ValueError | RecursionError) -> str:
    """Return what the decoder found, without its advice to programmers."""
    if isinstance(error, json.JSONDecodeError):
        return error.msg  # the whole sentence ends in a position within the line
    if isinstance(error, ValueError):
        return f"a number of more than {sys.get_int_max_str_digits()} digits"
    return str(error)


def read_json_list(stream: io.BufferedReader, name: str) -> Iterator[Row]:
    """Yield the members of one JSON list without holding the file."""
    yield from _read_stream(JsonText(stream, name), name, is_list=True)


def _read_stream(text: "JsonText", name: str, *, is_list: bool) -> Iterator[Row]:
    """Yield the values of a JSON list, or of a sequence of JSON objects, one after the other."""
    index = 0
    text.skip(SPACE)
    if is_list:
        text.take("[")
        text.skip(SPACE)
    while not text.ended and not (is_list and text.starts("]")):
        index += 1
        record = text.value()
        is_utf8 = text.value_is_utf8
        where = f"{name} record {index}"
        yield f"{name}:{index}", _checked(record, where) if is_utf8 else BadRow(not_utf8(where))
        text.skip(SPACE)
        if is_list and not text.starts("]"):
            text.take(",")
            text.skip(SPACE)
    if is_list:
        text.take("]")
        text.end()
    if index == 0:
        raise InputError(f"{name} holds no records")


def _checked(record: Any, where: str) -> Record | BadRow:
    if not isinstance(record, dict):
        return BadRow(f"{where} is a JSON {type(record).__name__}, not an object")
    return record


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


class JsonText:
    """A window over a UTF-8 stream from which JSON values are taken one at a time."""

    def __init__(self, stream: io.BufferedReader, name: str):
        # Other bytes than UTF-8 become lone surrogates, so that the record they stand in is known.
        self._reader = io.TextIOWrapper(
            stream, encoding="utf-8-sig", errors="surrogateescape", newline=""
        )
        self.name, self._line = name, 1  # the name is what errors begin with
        self.value_text, self.value_is_utf8 = "", True  # of the value taken last
        self._buffer, self._position, self._finished = "", 0, False
        self._decoder = json.JSONDecoder()

    @property
    def ended(self) -> bool:
        """Whether nothing is left, neither in the window nor in the stream."""
        return self._position >= len(self._buffer) and not self._grow(_CHUNK)

    def starts(self, character: str) -> bool:
        """Say whether this character comes next."""
        return not self.ended and self._buffer[self._position] == character

    def skip(self, characters: str) -> None:
        """Pass over all of these characters that come next."""
        while not self.ended and self._buffer[self._position] in characters:
            self._position += 1

    def take(self, character: str) -> None:
        """Pass over this character; raise InputError if another one comes next."""
        self.expect(character)
        self._position += 1

    def expect(self, character: str) -> None:
        """Raise InputError if another character comes next."""
        if not self.starts(character):
            found = "the end of the file" if self.ended else repr(self._buffer[self._position])
            raise InputError(
                f"{self.name} line {self._line_at(self._position)} is not valid JSON: expected "
                f"{character!r}, found {found}; is the file whole?"
            )

    def end(self) -> None:
        """Read to the end of the stream, where a damaged one tells; raise InputError for more."""
        self.skip(SPACE)
        if not self.ended:
            raise InputError(
                f"{self.name} line {self._line_at(self._position)}: more follows the end of the "
                "JSON list; make the file one list, or write one object a line"
            )

    def rewind(self) -> None:
        """Let go of the stream and set it back to its beginning, for another reader."""
        self._reader.detach().seek(0)

    def value(self) -> Any:
        """Return the JSON value that starts here; the window grows until it holds it whole."""
        size = _CHUNK
        while True:
            try:
                value, end = self._decoder.raw_decode(self._buffer, self._position)
            except json.JSONDecodeError as error:
                if not self._may_go_on(error) or not self._grow(size):
                    raise InputError(
                        f"{self.name} line {self._line_at(error.pos)} is not valid JSON: "
                        f"{error.msg}; is the file whole?"
                    ) from error
                size *= 2  # doubling keeps the repeated parsing of a long value linear
            except (ValueError, RecursionError) as error:  # a number too long, lists too deep
                raise InputError(
                    f"{self.name}: the record at line {self._line_at(self._position)} cannot be "
                    f"read: {_reason(error)}; take it out of the file"
                ) from error
            else:
                if end > len(self._buffer) - 3 and not self._finished:
                    self._grow(size)  # a number may go on: "1", "1.", "1e-"
                    continue
                self.value_text = self._buffer[self._position : end]
                self.value_is_utf8 = is_utf8(self.value_text)
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
