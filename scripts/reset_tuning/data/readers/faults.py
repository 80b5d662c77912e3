"""What is wrong with a raw record, in a sentence."""

from types import NoneType
from typing import Any

from reset_tuning.data.candidates import clean
from reset_tuning.data.readers.formats import Format
from reset_tuning.data.rows import BadRow, Record

_SHOWN = 20  # names that a sentence lists: an object may be keyed by its rows
_SHOWN_WITHIN = 5  # of an inner object
_LONGEST = 60  # characters of a name
_FORMS = {str: "text", bool: "true or false", int: "number", float: "number", NoneType: "null"}


def broken(row: str, record: Record, known: Format, error: Exception) -> BadRow:
    """Tell what a record lacks or holds that its format does not, with the keys it has."""
    return BadRow(f"{row} is not a {known.name} record: {_fault(record, known, error)}")


def keys_of(record: Record, at_most: int = _SHOWN) -> str:
    """Return the record's keys in their order, the first of many."""
    return _listed(sorted(clean(key)[:_LONGEST] for key in record), at_most)


def _listed(names: list[str], at_most: int = _SHOWN) -> str:
    more = f" and {len(names) - at_most} more" if len(names) > at_most else ""
    return ", ".join(names[:at_most]) + more


def _fault(record: Record, known: Format, error: Exception) -> str:
    fields = _listed([f"{clean(key)[:_LONGEST]} ({_form(record[key])})" for key in sorted(record)])
    if isinstance(error, KeyError):
        if _is_own(error.args[0], record, known):
            return f"the key {error} is missing among {keys_of(record)}"
        return f"an object within lacks the key {error}; its fields are {fields}"
    if known.kind == "instruction" and _holds_columns(record):
        return f"it holds columns: write one object a row, as lines or a list; it has {fields}"
    return f"{error}; its fields are {fields}"


def _is_own(key: Any, record: Record, known: Format) -> bool:
    """Say whether a missing key is one of the record and not of an object within.

    It is the record's where that has no objects within or nothing of the format, and where the
    form that the record comes closest to has the key.
    """
    closest = max(len(keys & record.keys()) for keys in known.signatures)
    if not closest or not any(isinstance(value, dict | list) for value in record.values()):
        return True
    forms = (keys for keys in known.signatures if len(keys & record.keys()) == closest)
    return key not in record and key in frozenset(known.columns).union(*forms)


def _holds_columns(record: Record) -> bool:
    """Say whether a record is a table: a list or an object of values for each of several keys."""
    return len(record) > 1 and any(
        all(isinstance(value, form) for value in record.values()) for form in (dict, list)
    )


def _form(value: Any) -> str:
    """Return a word for what a value is, with the keys of an object or of a list's first one."""
    if isinstance(value, dict):
        return f"{{{keys_of(value, _SHOWN_WITHIN)}}}"
    if isinstance(value, list):
        first = value[0] if value else None
        kind = "list" if isinstance(first, list) else _form(first)
        return f"list of {kind}" if value else "empty list"
    return _FORMS.get(type(value), type(value).__name__)
