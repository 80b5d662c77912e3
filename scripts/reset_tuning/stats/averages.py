"""Macro-averages over test sets: which metric stands for which kind, and over which datasets.

As in the paper, instruction following is the judge's rating; faithfulness and task performance have
one metric per kind; "overall" is the macro-average over all test sets of the first two.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from reset_tuning.errors import InputError
from reset_tuning.stats.panels import Dataset, PanelKey, Panels
from reset_tuning.stats.quantities import Hole, Quantity, macro_average

INSTRUCTION_METRIC = "instruction_following"
EXTRACTIVE = ("extractive_qa",)
ABSTRACTIVE = ("abstractive_qa", "summarization")
FAMILIES = ("instruction_following", "faithfulness", "task", "overall")


@dataclass(frozen=True)
class Headlines:
    """The judge of instructions and the metrics of each context kind, as in the config."""

    judge: str
    faithfulness: Mapping[str, str]
    task: Mapping[str, str]

    def metrics(self, family: str) -> dict[str, str]:
        """Return kind → metric of a family."""
        instruction = {"instruction": INSTRUCTION_METRIC}
        families = {
            "instruction_following": instruction,
            "faithfulness": dict(self.faithfulness),
            "task": dict(self.task),
            "overall": instruction | dict(self.faithfulness),
        }
        return families[family]

    def shows(self, family: str, kind: str, metric: str, scorer: str) -> bool:
        """Tell whether a scorer's metric is what stands for a family on test sets of a kind."""
        rated = metric != INSTRUCTION_METRIC or scorer == self.judge
        return rated and self.metrics(family).get(kind) == metric

    def rows(self, cells: pd.DataFrame, family: str) -> pd.Series:
        """Return which rows (kind, metric, scorer) hold a family's headline metric."""
        names = cells[["kind", "metric", "scorer"]].itertuples(index=False)
        return pd.Series([self.shows(family, *row) for row in names], cells.index, dtype=bool)

    def key(self, panels: Panels, dataset: Dataset, family: str) -> PanelKey:
        """Return the test set's headline metric of a family with the scorer that gives it.

        Raises Hole when nobody scored it, InputError when two scorers did.
        """
        metric = self.metrics(family)[dataset.kind]
        if metric == INSTRUCTION_METRIC:
            return dataset.name, metric, self.judge
        found = [key for key in panels.keys if key[:2] == (dataset.name, metric)]
        if not found:
            raise Hole(f"no system has scores of {metric} on {dataset.name}")
        if len(found) > 1:
            raise InputError(
                f"{metric} of {dataset.name} has two scorers, {found[0][2]} and {found[1][2]}; "
                "give the tables one of them"
            )
        return found[0]


@dataclass(frozen=True)
class Column:
    """One macro-average: a family of metrics over the test sets of some kinds and one role."""

    name: str
    family: str
    kinds: tuple[str, ...] | None = None
    role: str | None = None

    def covers(self, dataset: Dataset, headlines: Headlines) -> bool:
        """Tell whether this average is over a test set too."""
        metrics = headlines.metrics(self.family)
        in_kinds = dataset.kind in metrics and dataset.kind in (self.kinds or metrics)
        return in_kinds and self.role in (None, dataset.role)


MAIN_COLUMNS = (
    Column("instruction_following", "instruction_following"),
    Column("faithfulness_seen", "faithfulness", role="seen"),
    Column("faithfulness_unseen", "faithfulness", role="unseen"),
    Column("faithfulness", "faithfulness"),
    Column("task_seen", "task", role="seen"),
    Column("task_unseen", "task", role="unseen"),
    Column("task", "task"),
    Column("overall_seen", "overall", role="seen"),
    Column("overall_unseen", "overall", role="unseen"),
    Column("overall", "overall"),
)

_BY_KIND = (
    Column("faithfulness_extractive", "faithfulness", kinds=EXTRACTIVE),
    Column("faithfulness_abstractive", "faithfulness", kinds=ABSTRACTIVE),
    Column("task_extractive", "task", kinds=EXTRACTIVE),
    Column("task_abstractive", "task", kinds=ABSTRACTIVE),
)

TRADEOFF_COLUMNS = (MAIN_COLUMNS[0], *_BY_KIND[:2], *MAIN_COLUMNS[1:4], *_BY_KIND[2:])
TRADEOFF_COLUMNS += MAIN_COLUMNS[4:]
COLUMNS = {column.name: column for column in TRADEOFF_COLUMNS}


def column_sets(panels: Panels, column: Column, headlines: Headlines) -> list[Dataset]:
    """Return the test sets that a column averages over."""
    return [dataset for dataset in panels.datasets if column.covers(dataset, headlines)]


def column_quantity(
    panels: Panels, run: str, checkpoint: str, column: Column, headlines: Headlines
) -> Quantity:
    """Return a system's macro-average.

    Raises Hole where a test set has no score: never an average of the others.
    """
    return macro_average(
        [
            panels.mean(run, checkpoint, headlines.key(panels, dataset, column.family))
            for dataset in column_sets(panels, column, headlines)
        ]
    )
