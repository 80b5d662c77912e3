"""Macro-averages over test sets: which metric stands for which kind, and over which datasets.

As in the paper, instruction following is the judge's rating; faithfulness and task performance have
one metric per kind; "overall" is the macro-average over all test sets of the first two.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from reset_tuning.errors import InputError
from reset_tuning.stats.points import POINT, SOURCE

INSTRUCTION_METRIC = "instruction_following"
EXTRACTIVE = ("extractive_qa",)
ABSTRACTIVE = ("abstractive_qa", "summarization")

_FAILED = ["n_undefined", "n_unparsed", "n_refused", "n_error"]
_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class Headlines:
    """The judge of instructions and the metrics of each context kind, as in the config."""

    judge: str
    faithfulness: Mapping[str, str]
    task: Mapping[str, str]

    def metrics(self, family: str) -> dict[str, str]:
        """Return kind → metric of a family: instruction, faithfulness, task or overall."""
        instruction = {"instruction": INSTRUCTION_METRIC}
        families = {
            "instruction": instruction,
            "faithfulness": dict(self.faithfulness),
            "task": dict(self.task),
            "overall": instruction | dict(self.faithfulness),
        }
        return families[family]


@dataclass(frozen=True)
class Column:
    """One macro-average: a family of metrics over the test sets of some kinds and one role."""

    name: str
    family: str
    kinds: tuple[str, ...] | None = None
    role: str | None = None

    def covers(self, datasets: pd.DataFrame, metrics: Mapping[str, str]) -> pd.Series:
        """Return which rows (columns kind and role) this average covers."""
        covered = datasets["kind"].isin(set(self.kinds or metrics) & set(metrics))
        return covered & (datasets["role"] == self.role) if self.role else covered


MAIN_COLUMNS = (
    Column("instruction_following", "instruction"),
    Column("faithfulness_seen", "faithfulness", role="seen"),
    Column("faithfulness_unseen", "faithfulness", role="unseen"),
    Column("faithfulness", "faithfulness"),
    Column("task_seen", "task", role="seen"),
    Column("task_unseen", "task", role="unseen"),
    Column("task", "task"),
    Column("overall", "overall"),
)

TRADEOFF_COLUMNS = (
    Column("instruction_following", "instruction"),
    Column("faithfulness_extractive", "faithfulness", kinds=EXTRACTIVE),
    Column("faithfulness_abstractive", "faithfulness", kinds=ABSTRACTIVE),
    Column("faithfulness_seen", "faithfulness", role="seen"),
    Column("faithfulness_unseen", "faithfulness", role="unseen"),
    Column("faithfulness", "faithfulness"),
    Column("task_extractive", "task", kinds=EXTRACTIVE),
    Column("task_abstractive", "task", kinds=ABSTRACTIVE),
    Column("task_seen", "task", role="seen"),
    Column("task_unseen", "task", role="unseen"),
    Column("task", "task"),
    Column("overall", "overall"),
)


def macro_averages(
    scores: pd.DataFrame, datasets: pd.DataFrame, column: Column, headlines: Headlines
) -> pd.DataFrame:
    """Return one row per evaluation point: the macro-average of a column over its test sets.

    `scores` are rows of metrics/scores.csv expanded to points; `datasets` lists every test set of
    the experiment (dataset, kind, role). Result: POINT + SOURCE + value, n, failed, where n and
    failed are sums over the test sets. The value is null where a test set has no row that counts
    (never an average of the others), and everywhere when the experiment has no such test set.
    Raises InputError when a point lacks a test set's metric or has it from two scorers.
    """
    metrics = headlines.metrics(column.family)
    wanted = set(datasets.loc[column.covers(datasets, metrics), "dataset"])
    rows = scores[column.covers(scores, metrics)]
    rows = rows[rows["metric"] == rows["kind"].map(metrics)]
    rows = rows[(rows["kind"] != "instruction") | (rows["scorer"] == headlines.judge)]
    points = scores[POINT + SOURCE].drop_duplicates()
    _check_one_each(rows, points, wanted, column.name)
    rows = rows.assign(failed=rows[_FAILED].sum(axis=1))
    sums = rows.groupby(POINT)[["n", "failed"]].sum()
    # Not .mean(): that would skip a test set without a value and report the average of the rest.
    values = rows.groupby(POINT)["mean"].agg(lambda means: means.mean(skipna=False))
    averages = points.merge(sums.assign(value=values).reset_index(), on=POINT, how="left")
    _warn_of_nulls(rows, column.name)
    return averages.fillna({"n": 0, "failed": 0})


def datasets_of(scores: pd.DataFrame) -> pd.DataFrame:
    """Return every test set of a scores table once: dataset, kind, role."""
    return scores[["dataset", "kind", "role"]].drop_duplicates().reset_index(drop=True)


def _check_one_each(
    rows: pd.DataFrame, points: pd.DataFrame, wanted: set[str], column: str
) -> None:
    found = {key: group["dataset"] for key, group in rows.groupby(POINT)}
    for run, seed, checkpoint in points[POINT].itertuples(index=False):
        here = found.get((run, seed, checkpoint), pd.Series(dtype=str))
        missing = sorted(wanted - set(here))
        if missing:
            raise InputError(
                f"{column} of {run} (seed {seed}, {checkpoint}) lacks the scores of {missing[0]}; "
                "score that test set with the judge and metrics of the config"
            )
        if here.duplicated().any():
            raise InputError(
                f"{column} of {run} (seed {seed}, {checkpoint}) has two scorers for "
                f"{here[here.duplicated()].iloc[0]}; give the tables one of them"
            )


def _warn_of_nulls(rows: pd.DataFrame, column: str) -> None:
    for row in rows[rows["mean"].isna()].itertuples():
        _LOGGER.warning(
            "%s of %s (seed %s, %s) is empty: no output of %s has a score",
            column,
            row.run,
            row.seed,
            row.checkpoint,
            row.dataset,
        )
