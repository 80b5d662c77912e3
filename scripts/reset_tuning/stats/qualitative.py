"""One example of what a second stage changes: an answer before and after (PAPER.md §5)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from reset_tuning.stats.averages import INSTRUCTION_METRIC, Headlines
from reset_tuning.tables import read_table


@dataclass(frozen=True)
class Change:
    """An example whose score fell, with both answers."""

    example: dict[str, Any]
    metric: str
    seed: int
    before: float
    after: float
    answers: tuple[str, str]


def largest_drop(
    scores: pd.DataFrame, before: pd.DataFrame, after: pd.DataFrame, metrics: Sequence[str]
) -> pd.Series | None:
    """Return the example_id, metric, before and after of the largest fall of any of the metrics.

    `scores` are rows of example_scores; `before` and `after` are the generations of one checkpoint
    each. Among equal falls the first example_id is taken, which is a hash and so an arbitrary one.
    None when no score fell.
    """
    wanted = scores[scores["metric"].isin(metrics)].dropna(subset="value")
    sides = [
        wanted.merge(rows[["run", "seed", "checkpoint"]].drop_duplicates(), how="inner")
        for rows in (before, after)
    ]
    keys = ["example_id", "metric", "scorer"]
    both = sides[0].merge(sides[1], on=keys, suffixes=("_before", "_after"))
    both["fall"] = both["value_before"] - both["value_after"]
    fallen = both[both["fall"] > 0].sort_values(["fall", "example_id"], ascending=[False, True])
    return None if fallen.empty else fallen.iloc[0]


def find_change(
    scores: pd.DataFrame,
    generations: tuple[Path, Path],
    examples: Sequence[Path],
    headlines: Headlines,
    family: str,
    seed: int,
) -> Change | None:
    """Return the largest fall of a family's headline metrics between two checkpoints."""
    before, after = (read_table(path, "generation") for path in generations)
    metrics = list(headlines.metrics(family).values())
    if INSTRUCTION_METRIC in metrics:
        scores = scores[
            (scores["metric"] != INSTRUCTION_METRIC) | (scores["scorer"] == headlines.judge)
        ]
    found = largest_drop(scores, before, after, metrics)
    if found is None:
        return None
    answers = tuple(
        rows.set_index("example_id").loc[found["example_id"], "output"] for rows in (before, after)
    )
    example = _example(examples, found["example_id"])
    values = float(found["value_before"]), float(found["value_after"])
    return Change(example, found["metric"], seed, *values, answers)


def _example(files: Sequence[Path], example_id: str) -> dict[str, Any]:
    for path in files:
        rows = read_table(path, "example")
        here = rows[rows["example_id"] == example_id]
        if len(here):
            return here.iloc[0].to_dict()
    raise KeyError(example_id)


def change_document(change: Change | None, title: str, systems: tuple[str, str]) -> str:
    """Return a change as a Markdown page; `systems` names both checkpoints."""
    if change is None:
        return f"# {title}\n\nNo answer of this experiment scores lower after the second stage.\n"
    example = change.example
    parts = [
        f"# {title}",
        f"The largest fall of {change.metric} under seed {change.seed}: chosen because it falls, "
        "and so no typical example (the tables have the means).",
        f"Dataset: {example['dataset']}; source row: {example['source_row']}",
    ]
    for name in ("instruction", "context", "question"):
        if isinstance(example[name], str):
            parts += [f"## {name.capitalize()}", _quoted(example[name])]
    if len(example["references"]):
        parts += ["## Reference", _quoted(str(example["references"][0]))]
    values = (change.before, change.after)
    for when, system, value, answer in zip(
        ("Before", "After"), systems, values, change.answers, strict=True
    ):
        heading = f"## {when} ({system}): {change.metric} {value:.2f}"
        parts += [heading, _quoted(answer) if answer.strip() else "(empty)"]
    return "\n\n".join(parts) + "\n"


def _quoted(text: str) -> str:
    """Return a text as a fenced block, whatever it holds."""
    fence = "~~~~"
    while fence in text:
        fence += "~"
    return f"{fence}text\n{text}\n{fence}"
