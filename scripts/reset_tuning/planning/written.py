"""What the models of an experiment have written so far tells what others will write."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq

_COLUMNS = ["dataset", "example_id", "output", "n_tokens", "multiplicity"]


@dataclass(frozen=True)
class Written:
    """What is known of the answers that are there, by how many draws they stand for.

    `tokens` are the mean tokens of a draw by dataset, its end token included. Equal answers are
    scored and judged once: `distinct_share` is the share of an example's draws with a text of their
    own, `new_share` that of answers to instructions that no other file has for the same example.
    Both are None before there are any.
    """

    tokens: Mapping[str, float] = field(default_factory=dict)
    distinct_share: float | None = None
    new_share: float | None = None

    def mean_tokens(self, datasets: Collection[str]) -> float | None:
        """Return the mean of those of the datasets that have answers, or None."""
        known = [self.tokens[name] for name in datasets if name in self.tokens]
        return sum(known) / len(known) if known else None


def read_written(files: Iterable[Path], instructions: Collection[str]) -> Written:
    """Read outputs (table `generation`), file by file; `instructions` are datasets that are judged.

    Of the answers to instructions a number is kept in memory, of others nothing.
    """
    draws, tokens = Counter[str](), Counter[str]()
    n_rows = n_judged = 0
    judged: set[int] = set()
    for path in files:
        answers = pq.read_table(path, columns=_COLUMNS).to_pandas()
        n_rows += len(answers)
        answers["tokens"] = (answers["n_tokens"] + 1) * answers["multiplicity"]
        sums = answers.groupby("dataset")[["multiplicity", "tokens"]].sum()
        draws.update(sums["multiplicity"].to_dict())
        tokens.update(sums["tokens"].to_dict())
        of_instructions = answers[answers["dataset"].isin(list(instructions))]
        n_judged += len(of_instructions)
        texts = of_instructions[["example_id", "output"]]
        judged.update(pd.util.hash_pandas_object(texts, index=False).tolist())
    return Written(
        {name: tokens[name] / count for name, count in draws.items()},
        n_rows / draws.total() if n_rows else None,
        len(judged) / n_judged if n_judged else None,
    )
