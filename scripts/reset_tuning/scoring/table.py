"""Score rows: a value where there is one, and otherwise the reason why there is none."""

import json
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from reset_tuning.tables import write_table

KEY_COLUMNS = ["run", "seed", "checkpoint", "decoding", "example_id", "sample_id"]
SCORED_STATUSES = ("ok", "empty_output")


@dataclass(frozen=True)
class Score:
    """One metric of one output; `value` is None unless the status is ok or empty_output."""

    value: float | None
    status: str


# An answer of nothing is a bad answer, not a missing one: it counts as 0 in every metric.
EMPTY_OUTPUT = Score(0.0, "empty_output")
UNDEFINED = Score(None, "undefined")
REFUSED = Score(None, "refused")
UNPARSED = Score(None, "unparsed")


def scored(value: float) -> Score:
    """Return the score of a value that could be computed."""
    return Score(float(value), "ok")


def is_empty(output: str) -> bool:
    """Tell whether an output holds nothing but white space."""
    return not output.strip()


def write_scores(
    path: Path,
    rows: pd.DataFrame,
    scores: Mapping[str, Sequence[Score]],
    scorer: str,
    settings: Mapping[str, Any],
) -> None:
    """Write a score table: for each metric one score per row of `rows` (which hold KEY_COLUMNS).

    `settings` (options, model, package versions) go into the file's metadata as JSON.
    """
    frames = [_metric_rows(rows, metric, values, scorer) for metric, values in scores.items()]
    metadata = {"scorer": json.dumps(dict(settings), sort_keys=True)}
    write_table(pd.concat(frames, ignore_index=True), path, "score", metadata)


def _metric_rows(
    rows: pd.DataFrame, metric: str, scores: Sequence[Score], scorer: str
) -> pd.DataFrame:
    return rows[KEY_COLUMNS].assign(
        metric=pd.Series([metric] * len(rows), index=rows.index, dtype="str"),
        scorer=pd.Series([scorer] * len(rows), index=rows.index, dtype="str"),
        value=pd.Series([score.value for score in scores], index=rows.index, dtype="float64"),
        status=pd.Series([score.status for score in scores], index=rows.index, dtype="str"),
    )


def log_statuses(metric: str, scores: Sequence[Score]) -> None:
    """Log how many scores of a metric ended in each status."""
    counts = Counter(score.status for score in scores)
    logging.info("%s: %s", metric, ", ".join(f"{n} {name}" for name, n in sorted(counts.items())))
