"""Does the judge like long answers? Ratings of instruction answers against their length."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from reset_tuning.stats.averages import INSTRUCTION_METRIC
from reset_tuning.stats.panels import LENGTH_METRIC
from reset_tuning.stats.points import POINT

BINS = 5


def length_bias_table(scores: pd.DataFrame, judges: Sequence[str]) -> pd.DataFrame:
    """Return mean length and rating in bins of length, by judge and system (table length_bias).

    `scores` are rows of example_scores. Bins hold equal numbers of all systems' answers. The row of
    bin 0 is over all answers of a system, with the rank correlation of length and rating and the
    slope of the rating per doubling of the length (answers without tokens left out of it). A
    correlation within one system is no proof of bias: better answers may need more words.
    """
    keys = [*POINT, "example_id"]
    lengths = scores[scores["metric"] == LENGTH_METRIC][[*keys, "value"]]
    ratings = scores[(scores["metric"] == INSTRUCTION_METRIC) & scores["scorer"].isin(judges)]
    rows = ratings.dropna(subset="value").merge(lengths, on=keys, suffixes=("", "_tokens"))
    if rows.empty:
        return pd.DataFrame(columns=_COLUMNS)
    edges = np.unique(np.quantile(rows["value_tokens"], np.linspace(0, 1, BINS + 1)[1:-1]))
    rows["bin"] = np.searchsorted(edges, rows["value_tokens"], side="left") + 1
    found = []
    for (judge, run, checkpoint), group in rows.groupby(["scorer", "run", "checkpoint"]):
        system = {"judge": judge, "run": run, "checkpoint": checkpoint}
        found.append(system | _means(0, group) | _relation(group))
        found += [system | _means(number, part) for number, part in group.groupby("bin")]
    return pd.DataFrame(found, columns=_COLUMNS)


_COLUMNS = [
    "judge", "run", "checkpoint", "bin", "n", "mean_tokens", "mean_rating", "spearman", "slope"
]  # fmt: skip


def _means(number: Any, rows: pd.DataFrame) -> dict[str, Any]:
    return {
        "bin": int(number),
        "n": len(rows),
        "mean_tokens": float(rows["value_tokens"].mean()),
        "mean_rating": float(rows["value"].mean()),
    }


def _relation(rows: pd.DataFrame) -> dict[str, Any]:
    """Return rank correlation and slope; none where lengths or ratings do not differ."""
    if rows["value_tokens"].nunique() < 2 or rows["value"].nunique() < 2:
        return {"spearman": None, "slope": None}
    written = rows[rows["value_tokens"] > 0]
    doublings = np.log2(written["value_tokens"])
    slope = np.polyfit(doublings, written["value"], 1)[0] if doublings.nunique() > 1 else None
    correlation = spearmanr(rows["value_tokens"], rows["value"]).statistic
    return {"spearman": float(correlation), "slope": slope}
