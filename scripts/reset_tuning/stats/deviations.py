"""Where the paper is odd, silent or lost, and what this run used in its place.

Oddities of the text are described in resources/deviations.yaml with the config keys that decide
them; assumed values are the ones that config.yaml marks "assumed". What was used is read from the
resolved configuration and written by hand nowhere.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from reset_tuning.files import YAML_LOADER

_ASSUMED = re.compile(r"#.*?\bassumed(?:: *(?P<reason>[^;]*))?")


def deviation_rows(
    oddities: Sequence[Mapping[str, Any]], config_text: str, config: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Return the rows of metrics/deviations.csv: the oddities, then the assumed values.

    `config_text` is config.yaml, whose comments mark values; `config` is the resolved configuration
    of the run, which may lack keys that an oddity names (a selection that an overlay takes away).
    """
    rows = [_oddity_row(entry, config) for entry in oddities]
    return rows + [
        {
            "kind": "assumed",
            "topic": key,
            "problem": reason or "the paper does not say",
            "ours": None,
            "key": key,
            "used": used(config, key),
        }
        for key, reason in assumed_values(config_text)
    ]


def _oddity_row(entry: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    keys = entry.get("keys", [])
    shown = [used(config, key) or "not set" for key in keys]
    return {
        "kind": "oddity",
        "topic": entry["topic"],
        "problem": entry["problem"],
        "ours": entry["ours"],
        "key": "; ".join(keys) or None,
        "used": "; ".join(shown) or None,
    }


def used(config: Mapping[str, Any], key: str) -> str | None:
    """Return the value of a dotted key as compact JSON; None where the configuration lacks it."""
    value: Any = config
    for part in key.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return None
        value = value[part]
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def assumed_values(config_text: str) -> list[tuple[str, str]]:
    """Return dotted key and reason of every value that a comment on its line marks as assumed.

    Where a line holds several keys, the first one is meant with all that is below it.
    """
    lines = config_text.splitlines()
    by_line: dict[int, str] = {}
    for line, key in _keys(yaml.compose(config_text, Loader=YAML_LOADER)):
        by_line.setdefault(line, key)
    marked = []
    for number, key in sorted(by_line.items()):
        found = _ASSUMED.search(lines[number])
        if found:
            marked.append((key, (found["reason"] or "").strip()))
    return marked


def _keys(node: yaml.Node | None, prefix: str = "") -> Iterator[tuple[int, str]]:
    """Yield line and dotted key of all mapping keys, outer ones first; aliases once."""
    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            key = f"{prefix}{name.value}"
            yield name.start_mark.line, key
            if value.start_mark.line >= name.start_mark.line:
                yield from _keys(value, f"{key}.")
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            if item.start_mark.line >= node.start_mark.line:
                yield item.start_mark.line, prefix.rstrip(".")
