"""The prompts of a job on disk: what every rank reads, and the order of the table that they make.

A job may have more prompts than memory holds, and several processes share them. They are written
once, a file for each dataset, and read back in the order of the generation table.
"""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

_ROWS = 1000  # written and read at once
_SCHEMA = pa.schema(
    [
        ("example_id", pa.string()),
        ("dataset", pa.string()),
        ("text", pa.string()),
        ("max_new_tokens", pa.int64()),
    ]
)


@dataclass(frozen=True)
class Prompt:
    """An example's prompt and how many tokens may follow it: 0 when it is itself too long."""

    example_id: str
    dataset: str
    text: str
    max_new_tokens: int


def write_prompts(prompts: Iterable[Prompt], folder: Path) -> tuple[int, int]:
    """Write prompts, which come in the order of their ids within a dataset.

    Returns their number and how many of them are too long.
    """
    parts: dict[str, list[Prompt]] = {}
    writers: dict[str, pq.ParquetWriter] = {}
    n_prompts = n_too_long = 0
    with ExitStack() as stack:
        for prompt in prompts:
            n_prompts += 1
            n_too_long += prompt.max_new_tokens < 1
            if prompt.dataset not in writers:
                writer = pq.ParquetWriter(folder / f"{prompt.dataset}.parquet", _SCHEMA)
                writers[prompt.dataset] = stack.enter_context(writer)
            part = parts.setdefault(prompt.dataset, [])
            part.append(prompt)
            if len(part) == _ROWS:
                _flush(writers[prompt.dataset], part)
        for dataset, part in parts.items():
            _flush(writers[dataset], part)
    return n_prompts, n_too_long


def _flush(writer: pq.ParquetWriter, part: list[Prompt]) -> None:
    writer.write_table(pa.Table.from_pylist([asdict(prompt) for prompt in part], _SCHEMA))
    part.clear()


def read_prompts(folder: Path) -> Iterator[Prompt]:
    """Yield the prompts by dataset and id, few of them in memory at a time."""
    for path in sorted(folder.glob("*.parquet"), key=lambda path: path.stem):
        with pq.ParquetFile(path, pre_buffer=False) as file:
            for batch in file.iter_batches(_ROWS):
                for row in batch.to_pylist():
                    yield Prompt(**row)


def count_prompts(folder: Path) -> int:
    """Return the number of prompts in a folder."""
    return sum(pq.read_metadata(path).num_rows for path in folder.glob("*.parquet"))
