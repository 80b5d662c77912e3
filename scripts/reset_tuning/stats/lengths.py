"""Lengths of generations: the paper asks whether a change of faithfulness is one of length."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from reset_tuning.errors import InputError
from reset_tuning.stats.points import POINT, expand_points
from reset_tuning.tables import read_table

_COLUMNS = [*POINT, "dataset", "n_tokens", "finish_reason", "output"]


def read_lengths(generations: Iterable[Path]) -> pd.DataFrame:
    """Return the token counts per source evaluation and dataset (columns of the table lengths)."""
    frames = [summarise_lengths(read_table(path, "generation")[_COLUMNS]) for path in generations]
    if not frames:
        raise InputError("there are no generations to measure; name at least one file")
    return pd.concat(frames, ignore_index=True)


def summarise_lengths(generations: pd.DataFrame) -> pd.DataFrame:
    """Return n, mean, median and sd of tokens, empty outputs and the share ended by the limit."""
    rows = generations.assign(
        empty=generations["output"].str.strip() == "",
        at_limit=generations["finish_reason"] == "length",
        too_long=generations["finish_reason"] == "prompt_too_long",
        withheld=generations["finish_reason"] == "content_filter",
    )
    return rows.groupby([*POINT, "dataset"], as_index=False).agg(
        n=("n_tokens", "size"),
        mean_tokens=("n_tokens", "mean"),
        median_tokens=("n_tokens", "median"),
        sd_tokens=("n_tokens", "std"),
        n_empty=("empty", "sum"),
        share_at_limit=("at_limit", "mean"),
        n_prompt_too_long=("too_long", "sum"),
        n_content_filter=("withheld", "sum"),
    )


def lengths_table(lengths: pd.DataFrame, points: pd.DataFrame) -> pd.DataFrame:
    """Return the lengths of every evaluation point; InputError when its source is missing."""
    expanded = expand_points(lengths, points)
    return expanded[[*POINT, *lengths.columns.drop(POINT)]]
