"""Outputs joined with the examples they answer."""

from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq

from reset_tuning.errors import InputError
from reset_tuning.tables import read_table

EXAMPLE_COLUMNS = ["example_id", "kind", "instruction", "context", "question", "references"]


def read_examples(paths: list[Path]) -> pd.DataFrame:
    """Read the examples of example tables, or of mixtures (originals only, not their copies).

    Returns one row per example_id with the columns EXAMPLE_COLUMNS; texts that are null are None.
    """
    frames = [_examples_of(path) for path in paths]
    if not frames:
        raise InputError("no example table was given, so outputs cannot be joined with examples")
    return pd.concat(frames, ignore_index=True).drop_duplicates("example_id")


def read_outputs(outputs: Path, examples: list[Path]) -> pd.DataFrame:
    """Return the rows of a generation table with EXAMPLE_COLUMNS beside them, in file order.

    Raises InputError when an output belongs to no example.
    """
    frame = read_table(outputs, "generation")
    known = read_examples(examples)
    missing = set(frame["example_id"]) - set(known["example_id"])
    if missing:
        raise InputError(
            f"{outputs}: {len(missing)} outputs belong to no example of the given tables "
            f"(first: {min(missing)}); rebuild the outputs or the examples"
        )
    return frame.merge(known, on="example_id", how="left", validate="many_to_one")


def _examples_of(path: Path) -> pd.DataFrame:
    try:
        columns = pq.read_schema(path).names
    except OSError as error:
        raise InputError(f"{path} cannot be read as an example table: {error}") from error
    if "copy" not in columns:
        frame = read_table(path, "example")
    else:
        frame = read_table(path, "mixture")
        frame = frame[frame["copy"] == 0]
    frame = frame[EXAMPLE_COLUMNS].copy()
    for column in ("instruction", "context", "question"):
        texts = frame[column].astype(object)
        frame[column] = texts.where(texts.notna(), None)
    return frame
