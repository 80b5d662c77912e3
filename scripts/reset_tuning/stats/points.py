"""Evaluation points: what is reported for a run, and the evaluation whose numbers it takes.

Identical weights are evaluated once. The start of a second stage is the best checkpoint of the
first, so the point (llama-cd-if, seed 1, start) takes the scores of (llama-cd, seed 1, best).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from reset_tuning.errors import InputError

POINT = ["run", "seed", "checkpoint"]
CHECKPOINTS = ("start", "best", "last")
SOURCE = ["source_run", "source_seed", "source_checkpoint"]


def point_frame(points: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return the points as rows with the columns POINT + SOURCE.

    Raises InputError when a point is given twice with different sources.
    """
    frame = pd.DataFrame(list(points), columns=POINT + SOURCE).drop_duplicates()
    if frame.duplicated(POINT).any():
        point = _text(frame[frame.duplicated(POINT)].iloc[0][POINT])
        raise InputError(f"evaluation point {point} has two sources; keep one of them")
    return frame.reset_index(drop=True)


def expand_points(rows: pd.DataFrame, points: pd.DataFrame) -> pd.DataFrame:
    """Give every point the rows of its source evaluation.

    `rows` has the columns run, seed, checkpoint of the sources; the result has those of the points
    and the SOURCE columns beside them. Raises InputError for a point whose source has no rows.
    """
    renamed = rows.rename(columns=dict(zip(POINT, SOURCE, strict=True)))
    joined = points.merge(renamed, on=SOURCE, how="left", indicator=True)
    missing = joined[joined["_merge"] == "left_only"]
    if len(missing):
        first = missing.iloc[0]
        raise InputError(
            f"evaluation point {_text(first[POINT])} needs the rows of {_text(first[SOURCE])}, "
            "which are missing; evaluate that checkpoint first"
        )
    return joined.drop(columns="_merge")


def _text(values: pd.Series) -> str:
    run, seed, checkpoint = values
    return f"({run}, seed {seed}, {checkpoint})"
