"""The registry of raw formats and the one way to read a raw file through it."""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from reset_tuning.data.candidates import Candidate
from reset_tuning.data.raw import Record, Row, read_records
from reset_tuning.data.readers.contexts import CONTEXT_FORMATS
from reset_tuning.data.readers.formats import Format, ReaderOptions
from reset_tuning.data.readers.instructions import INSTRUCTION_FORMATS
from reset_tuning.data.readers.oasst import OASST1
from reset_tuning.errors import InputError

FORMATS: dict[str, Format] = {
    known.name: known for known in (*INSTRUCTION_FORMATS, OASST1, *CONTEXT_FORMATS)
}
AUTO = "auto"

_MALFORMED = (KeyError, IndexError, TypeError, AttributeError, ValueError)


def read_candidates(
    path: Path, name: str, kind: str, format: str, options: ReaderOptions
) -> Iterator[Candidate]:
    """Yield the candidates of a raw file in its order; `name` stands for it in source rows.

    `format` is a name of FORMATS, or "auto" for the format of this kind that knows the file's first
    record best. Raises InputError for a file that the format does not recognise (naming the file,
    its keys and the known formats) and for a record that breaks the format (naming its row).
    """
    rows = read_records(path, name)
    first = next(rows, None)
    if first is None:
        return
    chosen = choose_format(first[1], name, kind, format)
    rows = chosen.join(_expanded(itertools.chain([first], rows), chosen))
    for row, record in rows:
        for candidate in _read(record, row, chosen, options):
            yield replace(candidate, source_row=row)


def format_rules(kind: str, format: str) -> tuple[str, ...]:
    """Return the rules that the format's own faults are counted under, in order.

    For "auto" these are the rules of all formats of the kind.
    """
    rules = (rule for known in _candidates(kind, format) for rule in known.rules)
    return tuple(dict.fromkeys(rules))


def has_groups(kind: str, format: str) -> bool:
    """Say whether several candidates may answer the same prompt."""
    return any(known.grouped for known in _candidates(kind, format))


def choose_format(record: Record, name: str, kind: str, format: str) -> Format:
    """Return the format to read a file with, from its first record; see `read_candidates`."""
    best = max(_candidates(kind, format), key=lambda candidate: candidate.match(record))
    if not best.recognises(record):
        asked = "any known format" if format == AUTO else f"format {format!r}"
        forms = "; ".join(candidate.description for candidate in _formats_of(kind))
        raise InputError(
            f"{name} is not in {asked} of {kind} data: its first record has the keys "
            f"{', '.join(sorted(map(str, record)))}; known formats are {forms}"
        )
    return best


def _candidates(kind: str, format: str) -> list[Format]:
    return _formats_of(kind) if format == AUTO else [_named_format(kind, format)]


def _formats_of(kind: str) -> list[Format]:
    known = [candidate for candidate in FORMATS.values() if candidate.kind == kind]
    if not known:
        kinds = sorted({candidate.kind for candidate in FORMATS.values()})
        raise InputError(f"kind {kind!r} is not one of {', '.join(kinds)}")
    return known


def _named_format(kind: str, format: str) -> Format:
    names = [candidate.name for candidate in _formats_of(kind)]
    if format not in names:
        raise InputError(
            f"format {format!r} is not one for {kind} data; allowed are {', '.join([*names, AUTO])}"
        )
    return FORMATS[format]


def _expanded(rows: Iterable[Row], chosen: Format) -> Iterator[Row]:
    for row, record in rows:
        try:
            parts = list(chosen.expand(record))
        except _MALFORMED as error:
            raise _broken(row, chosen, error) from error
        for suffix, part in parts:
            yield (f"{row}.{suffix}" if suffix else row), part


def _read(record: Record, row: str, chosen: Format, options: ReaderOptions) -> list[Candidate]:
    try:
        return list(chosen.read(record, options))
    except InputError:
        raise
    except _MALFORMED as error:
        raise _broken(row, chosen, error) from error


def _broken(row: str, chosen: Format, error: Exception) -> InputError:
    what = f"the key {error} is missing" if isinstance(error, KeyError) else str(error)
    return InputError(f"{row} is not a {chosen.name} record: {what}")
