"""What the models of an experiment have written so far tells what others will write."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

_COLUMNS = ["dataset", "example_id", "output", "n_tokens"]


@dataclass(frozen=True)
class Written:
    """Mean tokens of an answer by dataset, its end token included, and how often answers repeat.

    `new_share` is the share of answers to instructions that are not there twice (equal ones are
    judged once), None before there are any.
    """

    tokens: Mapping[str, float] = field(default_factory=dict)
    new_share: float | None = None

    def mean_tokens(self, datasets: Collection[str]) -> float | None:
        """Return the mean of those of the datasets that have answers, or None."""
        known = [self.tokens[name] for name in datasets if name in self.tokens]
        return sum(known) / len(known) if known else None


def read_written(files: Iterable[Path], instructions: Collection[str]) -> Written:
    """Read outputs (table `generation`); `instructions` are the datasets that judges rate."""
    frames = [pd.read_parquet(path, columns=_COLUMNS) for path in files]
    if not frames:
        return Written()
    answers = pd.concat(frames, ignore_index=True)
    tokens = answers.groupby("dataset")["n_tokens"].mean() + 1
    judged = answers.loc[answers["dataset"].isin(list(instructions)), ["example_id", "output"]]
    new = len(judged.drop_duplicates()) / len(judged) if len(judged) else None
    return Written(tokens.to_dict(), new)
