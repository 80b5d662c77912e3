"""The JSON schema of the configuration, and what is wrong with a value in words."""

from functools import cache
from pathlib import Path
from typing import Any

from reset_tuning.errors import InputError
from reset_tuning.files import read_yaml

SCHEMA_FILE = Path(__file__).resolve().parents[2] / "schemas" / "config.schema.yaml"
_BOUNDS = {
    "minimum": "at least",
    "exclusiveMinimum": "more than",
    "maximum": "at most",
    "exclusiveMaximum": "less than",
}
_TYPES = {
    "array": "a list",
    "boolean": "true or false",
    "integer": "a whole number, written without a point",
    "number": "a number",
    "object": "a dictionary (key: value)",
    "string": "a text",
}


def check_schema(config: dict[str, Any]) -> None:
    """Raise InputError for the first value that the schema does not allow."""
    from jsonschema.exceptions import best_match

    error = best_match(validator().iter_errors(config))
    if error is not None:
        raise InputError(_schema_sentence(error, config))


@cache
def validator() -> Any:
    """Return the validator of whole configurations."""
    # Imported here: it takes a quarter of a second that readers of a checked config need not pay.
    from jsonschema import Draft202012Validator
    from jsonschema.validators import extend

    # To JSON schema 1.0 is an integer; in a file's name it is not the 1 that a rule looks for.
    types = Draft202012Validator.TYPE_CHECKER.redefine("integer", lambda _, value: _is_whole(value))
    # The loader in C where it is there: the schema is long, and every start of Snakemake reads it.
    return extend(Draft202012Validator, type_checker=types)(read_yaml(SCHEMA_FILE))


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _schema_sentence(error: Any, config: dict[str, Any]) -> str:
    """Turn a jsonschema error into one sentence with the key and what is allowed there."""
    key = ".".join(str(part) for part in error.absolute_path)
    if error.validator == "additionalProperties":
        allowed = sorted(error.schema.get("properties", {}))
        unknown = [
            name for name in error.instance if name not in error.schema.get("properties", {})
        ]
        place = f"{key}." if key else ""
        return f"config: unknown key {place}{unknown[0]}; allowed here: {', '.join(allowed)}."
    if error.validator == "enum":
        values = ", ".join(map(str, error.validator_value))
        return f"config: {key} is {error.instance!r}; allowed: {values}."
    if error.validator == "required":
        missing = error.message.split("'")[1]
        place = key or "the configuration"
        return f"config: {place} lacks the key {missing}{_others(error, config)}."
    if error.validator == "pattern":
        allowed = error.schema["description"]
        if "propertyNames" in error.absolute_schema_path:
            return f"config: {key} has an entry {error.instance!r}; names there are {allowed}."
        return f"config: {key} is {error.instance!r}; it must be {allowed}."
    if error.validator == "type" and "propertyNames" in error.absolute_schema_path:
        return f"config: {key} has an entry {error.instance!r}; write its name as a text."
    if error.validator == "type":
        return _type_sentence(error, key)
    if error.validator == "maxProperties" and not error.validator_value:
        return f"config: {key} takes no options."
    if error.validator == "maxProperties" and error.validator_value == 1:
        names = " and ".join(map(str, error.instance))
        return f"config: {key} names {names}; write one entry for each."
    if error.validator == "uniqueItems":
        twice = next(item for item in error.instance if error.instance.count(item) > 1)
        return f"config: {key} holds {twice!r} twice; write each value once."
    if error.validator in _BOUNDS:
        bound = f"{_BOUNDS[error.validator]} {error.validator_value}"
        return f"config: {key} is {error.instance}; it must be {bound}."
    return f"config: {key or 'the configuration'}: {error.message}."


def _type_sentence(error: Any, key: str) -> str:
    value, wanted = error.instance, error.validator_value
    if wanted == "number" and _reads_as_number(value):
        return f"config: {key} is the text {value!r}; write a number, such as 2.0e-5."
    found = {dict: "a dictionary", list: "a list"}.get(type(value), repr(value))
    return f"config: {key or 'the configuration'} is {found}; it must be {_TYPES[wanted]}."


def _others(error: Any, config: dict[str, Any]) -> str:
    """Name a registry's entries where one is incomplete: a misspelt name makes a new entry."""
    path = list(error.absolute_path)
    if len(path) != 2 or not isinstance(config.get(path[0]), dict):
        return ""
    names = [str(name) for name in config[path[0]] if name != path[1]]
    return f" (if it was to change another entry, the names are: {', '.join(names)})"


def _reads_as_number(value: Any) -> bool:
    """Tell whether a text is a number that YAML reads as text, as 2e-5."""
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return isinstance(value, str)
