"""Records out of JSON lines, JSON lists and sequences of JSON objects, none of them held whole."""

import io
import json
import sys
from collections.abc import Iterator
from typing import Any

from reset_tuning.data.rows import BOM, BadRow, Record, Row, is_utf8, not_utf8
from reset_tuning.errors import InputError

_CHUNK = 1 << 20
SPACE = " \t\r\n"


def read_json_lines(stream: io.BufferedReader, name: str) -> Iterator[Row]:
    """Yield a record of every line that is not blank."""
    for number, line in enumerate(stream, start=1):
        line = line.removeprefix(BOM) if number == 1 else line
        if line.strip():
            yield f"{name}:{number}", _record_of_line(line, name, number)


def read_json_list(stream: io.BufferedReader, name: str) -> Iterator[Row]:
    """Yield the members of one JSON list without holding the file."""
    yield from _read_stream(JsonText(stream, name), name, is_list=True)


def read_json_objects(stream: io.BufferedReader, name: str) -> Iterator[Row]:
    """Yield objects that stand one after the other, whatever their lines."""
    yield from _read_stream(JsonText(stream, name), name, is_list=False)


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
