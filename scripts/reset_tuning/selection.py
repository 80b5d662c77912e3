"""Rejection sampling's choice: weighted top-1 of each example, a fixed number per set.

    s = s_task + weight * (1_IF s_IF + 1_CD s_faith),   s_task = 0 for instructions

A sample is a candidate when every score it needs is there (status ok or empty_output), its output
is not empty, and prompt and output together fit the model. With `cut_off: drop` the model must also
have ended it: one cut at the length limit would be learnt with an end in mid-sentence. Ties of the
best score go to the output drawn at the lower temperature (the lowest of its draws), then to the
lower sample_id; with `ties: frequency` to the higher multiplicity, then to a seeded draw (purpose
"tie"). All picks keep the same examples, those that `best` would keep, so that the rows of controls
differ from those of ReSet in nothing but the response; a training orders them by its run's name.
"""

import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from reset_tuning.errors import InputError
from reset_tuning.sampling.backend import LENGTH
from reset_tuning.scoring.table import SCORED_STATUSES, is_empty
from reset_tuning.seeds import draw_fraction
from reset_tuning.tables import read_parts, read_table, table_schema, with_optional, write_table
from reset_tuning.tokenizing import load_tokenizer

INSTRUCTION_METRIC = "instruction_following"
PICKS = ("best", "random", "original")
ORDERS = ("random", "top_score")
CUT_OFFS = ("keep", "drop")
TIES = ("temperature", "frequency")

# What choosing has to know of an example.
EXAMPLE_COLUMNS = ["example_id", "kind", "set", "n_prompt_tokens"]

_ROWS = 1_000  # of a mixture that are read at once with all their texts
_LIGHT_ROWS = 50_000  # and without texts

CountTokens = Callable[[list[str]], list[int]]


@dataclass(frozen=True)
class Selection:
    """One entry of the config's selections, with the metrics that its scores come from.

    `faithfulness` and `task` map a kind of example to a metric; `judge` is the scorer whose
    instruction_following counts. `max_length` is the most tokens of prompt and response together.
    `cut_off` says whether a sample that ended at the length limit may be chosen, `task_weight` is
    the weight of the task score (1 in the paper).
    """

    name: str
    judge: str
    pick: str
    per_set: int
    weight: float
    across_examples: str
    faithfulness: Mapping[str, str]
    task: Mapping[str, str]
    max_length: int | None = None
    cut_off: str = "keep"
    ties: str = "temperature"
    task_weight: float = 1.0

    def __post_init__(self) -> None:
        for key, value, allowed in (
            ("pick", self.pick, PICKS),
            ("across_examples", self.across_examples, ORDERS),
            ("cut_off", self.cut_off, CUT_OFFS),
            ("ties", self.ties, TIES),
        ):
            if value not in allowed:
                raise InputError(
                    f"selections.{self.name}.{key} is {value!r}, but must be one of "
                    f"{', '.join(allowed)}"
                )

    @classmethod
    def of(
        cls,
        name: str,
        entry: Mapping[str, Any],
        faithfulness: Mapping[str, str],
        task: Mapping[str, str],
        max_length: int,
    ) -> "Selection":
        """Return an entry of the config's selections as it is made, for all who describe it too.

        Raises InputError for a value that is not allowed.
        """
        keys = ("judge", "pick", "per_set", "weight", "across_examples")
        optional = {key: entry[key] for key in ("cut_off", "ties") if key in entry}
        return cls(
            name=name,
            faithfulness=faithfulness,
            task=task,
            max_length=max_length,
            **{key: entry[key] for key in keys},
            **optional,
        )


def select_files(
    samples: Path,
    pool: Path,
    scores: Sequence[Path],
    selected: Path,
    ledger: Path,
    selection: Selection,
    seed: int,
    count_tokens: CountTokens | None = None,
) -> None:
    """Read samples, pool and scores, and write the selected rows and their ledger.

    Memory holds the samples, but of the mixture only the texts of what is selected.
    """
    drawn = read_samples(samples, count_tokens)
    examples = read_examples(pool, drawn)
    winners, counts = choose(drawn, examples, read_scores(scores), selection, seed)
    rows = selected_rows(winners, _read_chosen(pool, winners), selection)
    metadata = {"selection": selection.name, "pick": selection.pick, "judge": selection.judge}
    write_table(rows, selected, "selected", metadata)
    write_table(counts, ledger, "ledger")


def read_samples(path: Path, count_tokens: CountTokens | None = None) -> pd.DataFrame:
    """Return generation rows, with the tokens that `count_tokens` finds in their outputs."""
    generated = read_table(path, "generation")
    if count_tokens is not None:  # text, read again, may have other tokens than were generated
        generated["n_tokens"] = count_tokens(generated["output"].tolist())
    return generated


def read_examples(pool: Path, samples: pd.DataFrame) -> pd.DataFrame:
    """Return what choosing has to know of a mixture's sampled examples: no texts, no copies.

    Some more of every set are among them, so that a set without samples is missed and not passed
    over.
    """
    ids = set(samples["example_id"])
    return pd.concat(
        [
            rows.loc[rows["example_id"].isin(ids) | ~rows["set"].duplicated(), EXAMPLE_COLUMNS]
            for rows in _read_originals(pool, _LIGHT_ROWS, [*EXAMPLE_COLUMNS, "copy"])
        ],
        ignore_index=True,
    )


def read_scores(files: Sequence[Path]) -> pd.DataFrame:
    """Return the score rows of several files."""
    return pd.concat([read_table(path, "score") for path in files], ignore_index=True)


def _read_chosen(pool: Path, winners: pd.DataFrame) -> pd.DataFrame:
    """Return the whole mixture rows of the examples that were chosen."""
    ids = set(winners["example_id"])
    parts = _read_originals(pool, _ROWS)
    return pd.concat([rows[rows["example_id"].isin(ids)] for rows in parts], ignore_index=True)


def _read_originals(
    pool: Path, n_rows: int, columns: Sequence[str] | None = None
) -> Iterator[pd.DataFrame]:
    """Yield a mixture part by part, without its up-sampled copies."""
    for part in read_parts(pool, "mixture", n_rows, columns):
        yield part[part["copy"] == 0]


def token_counter(tokenizer_path: str) -> CountTokens:
    """Return a function that counts the tokens of responses as trained on: with the end token."""
    tokenizer = load_tokenizer(tokenizer_path)
    has_end = int(tokenizer.eos_token_id is not None)

    def count(responses: list[str]) -> list[int]:
        if not responses:
            return []
        ids = tokenizer(responses, add_special_tokens=False)["input_ids"]
        return [len(response) + has_end for response in ids]

    return count


def choose(
    samples: pd.DataFrame,
    examples: pd.DataFrame,
    scores: pd.DataFrame,
    selection: Selection,
    seed: int,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Choose `per_set` examples of every set and one sample for each.

    `samples` are generation rows, `examples` EXAMPLE_COLUMNS of what they were drawn from, `scores`
    the score rows of the samples. Returns the chosen samples and ledger rows. Raises InputError
    when a set has fewer examples with a candidate than `per_set`.
    """
    rows = scored_samples(samples, examples, scores, selection)
    candidates = rows[rows["is_candidate"]]
    best = best_samples(candidates, selection, seed)
    kept = _kept_examples(best, sorted(examples["set"].unique()), selection, seed)
    picked = _random(candidates, seed) if selection.pick == "random" else best
    winners = picked[picked["example_id"].isin(kept)]
    counts = _ledger_rows(rows, picked, kept, selection, seed)
    return winners, counts


def scored_samples(
    samples: pd.DataFrame, examples: pd.DataFrame, scores: pd.DataFrame, selection: Selection
) -> pd.DataFrame:
    """Return every sample with its example's kind and set, its score, and whether it may win."""
    rows = _with_examples(samples, examples)
    rows["selection_score"] = selection_scores(rows, scores, selection)
    rows["has_output"] = ~rows["output"].map(is_empty).astype(bool)
    longest = math.inf if selection.max_length is None else selection.max_length
    rows["fits"] = rows["n_prompt_tokens"] + rows["n_tokens"] <= longest
    # What ended by another reason than its end token or the limit is empty, and so no candidate.
    rows["is_cut_off"] = (rows["finish_reason"] == LENGTH) & (selection.cut_off == "drop")
    usable = rows["has_output"] & ~rows["is_cut_off"] & rows["fits"]
    rows["is_candidate"] = rows["selection_score"].notna() & usable
    return rows


def selection_scores(rows: pd.DataFrame, scores: pd.DataFrame, selection: Selection) -> pd.Series:
    """Return s = s_task + weight * (s_IF or s_faith) of each sample, null where a part is missing.

    `rows` hold example_id, sample_id and kind. Raises InputError when a metric that a kind needs
    was scored twice for one sample.
    """
    values = _values(scores, selection)
    total = pd.Series(float("nan"), index=rows.index)
    for kind, group in rows.groupby("kind"):
        keys = pd.MultiIndex.from_frame(group[["example_id", "sample_id"]])
        if kind == "instruction":
            parts = [(selection.weight, INSTRUCTION_METRIC)]
        else:
            parts = [
                (selection.task_weight, selection.task[kind]),
                (selection.weight, selection.faithfulness[kind]),
            ]
        terms = [weight * _lookup(values, metric, keys) for weight, metric in parts]
        total[group.index] = sum(terms)
    return total


def _values(scores: pd.DataFrame, selection: Selection) -> pd.Series:
    """Return the values that count, by (metric, example_id, sample_id)."""
    usable = scores["status"].isin(SCORED_STATUSES)
    other_judge = (scores["metric"] == INSTRUCTION_METRIC) & (scores["scorer"] != selection.judge)
    table = scores[usable & ~other_judge]
    keys = ["metric", "example_id", "sample_id"]
    wanted = {INSTRUCTION_METRIC, *selection.task.values(), *selection.faithfulness.values()}
    table = table[table["metric"].isin(wanted)]
    if table.duplicated(keys).any():
        metric = table.loc[table.duplicated(keys), "metric"].iloc[0]
        raise InputError(
            f"selection {selection.name}: {metric} comes from two scorers; give the scores of one"
        )
    return table.set_index(keys)["value"]


def _lookup(values: pd.Series, metric: str, keys: pd.MultiIndex) -> Any:
    """Return one metric's values in the order of `keys`, null where there is none."""
    if metric not in values.index.get_level_values("metric"):
        return pd.Series(float("nan"), index=keys).to_numpy()
    return values.xs(metric, level="metric").reindex(keys).to_numpy()


def _with_examples(samples: pd.DataFrame, examples: pd.DataFrame) -> pd.DataFrame:
    """Return the samples with the kind, set and prompt length of their example."""
    unknown = set(samples["example_id"]) - set(examples["example_id"])
    if unknown:
        raise InputError(
            f"{len(unknown)} sampled examples are not in the pool's mixture (first: "
            f"{min(unknown)}); sample the pool again"
        )
    known = examples[EXAMPLE_COLUMNS]
    return samples.merge(known, on="example_id", how="left", validate="many_to_one")


def best_samples(candidates: pd.DataFrame, selection: Selection, seed: int) -> pd.DataFrame:
    """Return the best candidate of each example."""
    if selection.ties == "frequency":
        keys = zip(candidates["example_id"], candidates["sample_id"], strict=True)
        tie = [draw_fraction(seed, example, f"tie {sample}") for example, sample in keys]
        rule, ascending = ["multiplicity", "tie"], [False, True]
    else:
        tie, rule, ascending = _lowest_temperatures(candidates), ["tie"], [True]
    ranked = candidates.assign(tie=pd.Series(tie, index=candidates.index, dtype=float)).sort_values(
        ["example_id", "selection_score", *rule, "sample_id"],
        ascending=[True, False, *ascending, True],
    )
    return ranked.drop_duplicates("example_id").drop(columns="tie")


def _lowest_temperatures(rows: pd.DataFrame) -> list[float]:
    """Return the lowest temperature at which each output was drawn.

    A row's own is that of its first draw; files of before `temperatures` hold no other.
    """
    pairs = zip(rows["temperature"], rows["temperatures"], strict=True)
    return [min(every) if isinstance(every, list) else first for first, every in pairs]


def _random(candidates: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Return one candidate of each example, drawn as often as its multiplicity says."""
    ordered = candidates.sort_values(["example_id", "sample_id"])
    cumulated = ordered.groupby("example_id")["multiplicity"].cumsum()
    total = ordered.groupby("example_id")["multiplicity"].transform("sum")
    fraction = {
        example: draw_fraction(seed, example, "random sample")
        for example in ordered["example_id"].unique()
    }
    draws = ordered["example_id"].map(fraction).astype(float) * total
    return ordered[cumulated > draws].drop_duplicates("example_id")


def _kept_examples(
    best: pd.DataFrame, sets: list[str], selection: Selection, seed: int
) -> set[str]:
    """Return the examples to keep: `per_set` of each set, in a seeded order or by best score."""
    order = best.assign(
        position=[draw_fraction(seed, example, "pool") for example in best["example_id"]]
    )
    if selection.across_examples == "top_score":
        order = order.sort_values(["selection_score", "position"], ascending=[False, True])
    else:
        order = order.sort_values("position")
    kept: set[str] = set()
    for name in sets:
        examples = order.loc[order["set"] == name, "example_id"]
        if len(examples) < selection.per_set:
            raise InputError(
                f"selections.{selection.name}.per_set asks for {selection.per_set} examples, but "
                f"the set {name} has {len(examples)} with a scored sample: raise examples_per_set "
                "of the pool's decoding, or lower per_set"
            )
        kept.update(examples.iloc[: selection.per_set])
    return kept


def selected_rows(
    winners: pd.DataFrame, originals: pd.DataFrame, selection: Selection
) -> pd.DataFrame:
    """Return rows of the `selected` table: the mixture's prompts with the chosen responses."""
    choice = winners[["example_id", "sample_id", "selection_score", "output", "n_tokens"]]
    rows = originals.merge(choice, on="example_id", how="inner", validate="one_to_one")
    rows["sample_id"] = rows["sample_id"].astype("Int64")
    if selection.pick == "original":
        rows["sample_id"] = pd.Series(pd.NA, index=rows.index, dtype="Int64")
        rows["selection_score"] = float("nan")
    else:
        rows["response"] = rows["output"]
        rows["n_response_tokens"] = rows["n_tokens"]
    return with_optional(rows, "selected")[table_schema("selected").names]


def _ledger_rows(
    rows: pd.DataFrame, picked: pd.DataFrame, kept: set[str], selection: Selection, seed: int
) -> pd.DataFrame:
    """Account for every sample of every set: rows in = rows dropped by named rules + rows out."""
    keys = ["example_id", "sample_id"]
    is_picked = rows.set_index(keys).index.isin(picked.set_index(keys).index)
    rules = {
        "not_scored": rows["selection_score"].isna(),
        "empty_output": ~rows["has_output"],
        **({"cut_off": rows["is_cut_off"]} if selection.cut_off == "drop" else {}),
        "does_not_fit": ~rows["fits"],
        "not_drawn" if selection.pick == "random" else "not_best": pd.Series(
            ~is_picked, index=rows.index
        ),
        "not_needed": ~rows["example_id"].isin(kept),
    }
    ledger = []
    for name, group in rows.groupby("set"):
        left = pd.Series(True, index=group.index)
        for step, (rule, dropped) in enumerate(rules.items()):
            n_in = int(left.sum())
            left &= ~dropped[group.index]
            n_out = int(left.sum())
            item = f"{selection.name}/seed-{seed}/{name}"
            ledger.append(("select", item, "train", step, rule, n_in, n_in - n_out, n_out))
            logging.info("%s: %s dropped %d of %d samples", item, rule, n_in - n_out, n_in)
    return pd.DataFrame(ledger, columns=table_schema("ledger").names)
