"""Rows and raw files written by hand."""

import gzip
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def write_json_lines(path: Path, records: Iterable[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def write_gzip(path: Path, text: str) -> Path:
    path.write_bytes(gzip.compress(text.encode()))
    return path


def example(identifier: str, kind: str = "instruction", **values: Any) -> dict[str, Any]:
    """A row of the `example` table."""
    row = {
        "example_id": identifier,
        "dataset": "dolly",
        "kind": kind,
        "instruction": None,
        "context": None,
        "question": None,
        "references": ["yes"],
        "source_row": "file:1",
    }
    return row | values
