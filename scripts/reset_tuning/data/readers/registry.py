"""The registry of raw formats and the one way to read a raw file through it.

Every module beside this one that has FORMATS adds them: a new raw format is one small module.
"""

import itertools
import logging
import pkgutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from importlib import import_module
from pathlib import Path
from typing import Any

from reset_tuning.data import readers
from reset_tuning.data.candidates import BAD_ROW, Candidate, clean
from reset_tuning.data.raw import read_records
from reset_tuning.data.readers.faults import broken, keys_of
from reset_tuning.data.readers.formats import Format, ReaderOptions
from reset_tuning.data.rows import BadRow, Count, Record, Row, TableRow
from reset_tuning.errors import InputError

AUTO = "auto"
FAIL, DROP_AND_COUNT = "fail", "drop-and-count"

_logger = logging.getLogger(__name__)
_MALFORMED = (
    KeyError, IndexError, TypeError, AttributeError, ValueError, OverflowError, RecursionError,
)  # fmt: skip
_LOOKED_AT = 100  # records in which the first good one is looked for where bad ones are dropped
_LOGGED_BAD_ROWS = 10  # of one file; all of them are counted


def _known_formats() -> dict[str, Format]:
    """Return the formats of all reader modules by name, in the order of the modules' names.

    Raises ValueError for a name that two of them give.
    """
    names = sorted(module.name for module in pkgutil.iter_modules(readers.__path__))
    modules = [
        import_module(f"{readers.__name__}.{name}")
        for name in names
        if name != __name__.rpartition(".")[2]
    ]
    formats: dict[str, Format] = {}
    owners: dict[str, str] = {}
    for module in modules:
        for known in getattr(module, "FORMATS", ()):
            if known.name in formats:
                raise ValueError(
                    f"the raw format {known.name} has two readers, in {owners[known.name]} and in "
                    f"{module.__file__}: give one of them another name"
                )
            formats[known.name], owners[known.name] = known, module.__file__
    return formats


FORMATS = _known_formats()


def read_candidates(
    path: Path,
    name: str,
    kind: str,
    format: str,
    options: ReaderOptions,
    on_bad_row: str = FAIL,
    unanswered: Count | None = None,
    of_split: Sequence[tuple[Path, str]] = (),
) -> Iterator[Candidate]:
    """Yield the candidates of a raw file in its order; `name` stands for it in source rows.

    `format` is a name of FORMATS, or "auto" for the format of this kind that knows the file's first
    record best. Raises InputError for a file that the format does not recognise (naming the file,
    its keys and the known formats). A row that cannot be read or that breaks the format is an
    InputError that names it (`on_bad_row` "fail"), or a candidate with the fault BAD_ROW
    ("drop-and-count"). Where bad rows are dropped, the first of up to 100 records that some format
    recognises counts as the file's first.

    `unanswered`: rows whose column of answers is seen to be empty without reading them (parquet's)
    do not come; it is told how many. Without it every row comes.

    `of_split`: path and name of all the split's files, for rows that are completed from others.
    """
    rows = read_records(path, name, tolerant=True)
    at_most = _LOOKED_AT if on_bad_row == DROP_AND_COUNT else 1
    chosen, seen = _chosen_format(rows, kind, format, options, at_most)
    first = next((record for _, record in seen if not isinstance(record, BadRow)), None)
    if first is not None and chosen is None:
        raise InputError(_not_recognised(first, name, kind, format, options))
    if chosen is not None and chosen.columns and not isinstance(seen[-1][1], TableRow):
        has_column = unanswered is not None and chosen.answers_by_option
        unless_empty = (options.answers, unanswered) if has_column else None
        seen = []
        rows = read_records(
            path, name, tolerant=True, columns=chosen.columns, unless_empty=unless_empty
        )
    rows, n_bad = itertools.chain(seen, rows), 0
    for candidate, reason in _candidates_of(rows, tuple(of_split), chosen, options):
        if reason is not None:
            n_bad += 1
            _tell_of_bad_row(reason, n_bad, on_bad_row)
        yield candidate
    if n_bad:
        _logger.warning("%s: %d bad rows", name, n_bad)


def _chosen_format(
    rows: Iterator[Row], kind: str, format: str, options: ReaderOptions, at_most: int
) -> tuple[Format | None, list[Row]]:
    """Return the format that the first of some records tells, and the rows taken to find it."""
    seen: list[Row] = []
    n_records = 0
    for row in rows:
        seen.append(row)
        if isinstance(row[1], BadRow):
            continue
        n_records += 1
        chosen = find_format(row[1], kind, format, options)
        if chosen is not None or n_records == at_most:
            return chosen, seen
    return None, seen


def _tell_of_bad_row(reason: str, n_bad: int, on_bad_row: str) -> None:
    if on_bad_row == FAIL:
        raise InputError(f"{reason}; mend the row, or set on_bad_row: {DROP_AND_COUNT}")
    if n_bad <= _LOGGED_BAD_ROWS:
        _logger.warning("%s; the row is dropped", reason)


def _candidates_of(
    rows: Iterable[Row],
    of_split: tuple[tuple[Path, str], ...],
    chosen: Format | None,
    options: ReaderOptions,
) -> Iterator[tuple[Candidate, str | None]]:
    """Yield candidates and, for those that stand for a bad row, what is wrong with it."""
    if chosen is not None:
        rows = chosen.join(_expanded(rows, chosen), partial(_index_of, of_split, chosen.name))
    for row, record in rows:
        found = record if chosen is None else _read(record, row, chosen, options)
        if isinstance(found, BadRow):
            yield Candidate(faults=frozenset({BAD_ROW}), source_row=row), found.reason
            continue
        for candidate in found:
            candidate.source_row = row
            yield candidate, None


@lru_cache(maxsize=1)  # one for all files of a split
def _index_of(files: tuple[tuple[Path, str], ...], format: str) -> Any:
    """Return what a format keeps of the rows of all files."""
    chosen = FORMATS[format]
    read = (read_records(path, name, tolerant=True) for path, name in files)
    return chosen.index(_expanded(itertools.chain.from_iterable(read), chosen))


def check_formats(formats: Mapping[str, tuple[str, str]]) -> None:
    """Raise InputError for a dataset whose format is not one of its kind.

    `formats` are (kind, format) by dataset, as the config has them.
    """
    for dataset, (kind, format) in formats.items():
        try:
            _candidates(kind, format)
        except InputError as error:
            raise InputError(f"config: datasets.{dataset}.format: {error}.") from error


def format_rules(kind: str, format: str) -> tuple[str, ...]:
    """Return the rules that the format's own faults are counted under, in order.

    For "auto" these are the rules of all formats of the kind.
    """
    rules = (rule for known in _candidates(kind, format) for rule in known.rules)
    return tuple(dict.fromkeys(rules))


def has_groups(kind: str, format: str) -> bool:
    """Say whether several candidates may answer the same prompt."""
    return any(known.grouped for known in _candidates(kind, format))


def find_format(record: Record, kind: str, format: str, options: ReaderOptions) -> Format | None:
    """Return the format to read a file with, from one of its records; see `read_candidates`."""
    best = _best_format(record, kind, format)
    return best if best.recognises(record) and not _lacks_answers(record, best, options) else None


def _best_format(record: Record, kind: str, format: str) -> Format:
    return max(_candidates(kind, format), key=lambda candidate: candidate.match(record))


def _lacks_answers(record: Record, known: Format, options: ReaderOptions) -> bool:
    return known.answers_by_option and options.answers not in record


def _not_recognised(
    record: Record, name: str, kind: str, format: str, options: ReaderOptions
) -> str:
    """Tell what is wrong with a file by its first record."""
    keys = f"its first record has the keys {keys_of(record)}"
    best = _best_format(record, kind, format)
    if best.recognises(record):
        return (
            f"{name} has no column {options.answers}, which the option `answers` of {best.name} "
            f"data names; {keys}; set the option to the column that holds the answers"
        )
    asked = "any known format" if format == AUTO else f"format {format!r}"
    forms = "; ".join(candidate.description for candidate in _formats_of(kind))
    return f"{name} is not in {asked} of {kind} data: {keys}; known formats are {forms}"


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
        if isinstance(record, BadRow):
            yield row, record
        else:
            yield from _parts(record, row, chosen)


def _parts(record: Record, row: str, chosen: Format) -> Iterator[Row]:
    """Yield the rows that a record holds; a record that cannot be taken apart is one bad row."""
    try:
        for suffix, part in chosen.expand(record):
            name = f"{row}.{clean(suffix)}" if suffix else row
            yield name, _part(part, name, chosen)
    except _MALFORMED as error:  # of `expand` alone: no error of a consumer comes here
        yield row, broken(row, record, chosen, error)


def _part(part: Any, row: str, chosen: Format) -> Record | BadRow:
    if not isinstance(part, dict):
        found = type(part).__name__
        return BadRow(f"{row} is not a {chosen.name} record: it is a {found}, not an object")
    try:
        return chosen.part(part)
    except _MALFORMED as error:
        return broken(row, part, chosen, error)


def _read(
    record: Record | BadRow, row: str, chosen: Format, options: ReaderOptions
) -> list[Candidate] | BadRow:
    if isinstance(record, BadRow):
        return record
    try:
        return list(chosen.read(record, options))
    except InputError:
        raise
    except _MALFORMED as error:
        return broken(row, record, chosen, error)
