"""The paper's data table, and where the answers of question-answering sets stand."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from reset_tuning.data.prompts import PromptSettings, count_tokens, fitted_prompts
from reset_tuning.tables import read_table, table_schema

_COUNTED = ["dataset", "example_id", "copy"]
_LENGTHS = ["n_prompt_tokens", "n_response_tokens", "n_context_tokens_cut"]


@dataclass(frozen=True)
class SplitFiles:
    """The `example` table of a split and its ledger."""

    examples: Path
    ledger: Path


def data_stats(
    splits: Sequence[SplitFiles],
    train: Sequence[Path],
    validation: Sequence[Path],
    seen: Sequence[str],
    settings: PromptSettings,
    reserved_tokens: int,
) -> pd.DataFrame:
    """Return the rows of the `data_stats` table, one for each split of each dataset.

    train, validation: `mixture` tables of the runs. seen: datasets that are trained on.
    reserved_tokens: kept free for the answer when a test prompt is cut. The token counts of a
    training set are those of its rows in the mixtures.
    """
    used = _mixture_rows(train)
    held_out = _mixture_rows(validation)
    rows = []
    for files in splits:
        ledger = read_table(files.ledger, "ledger")
        dataset, split = ledger["item"].iloc[0], ledger["split"].iloc[0]
        is_train = split == "train"
        mine = used[used["dataset"] == dataset] if is_train else None
        lengths = mine if is_train else _test_lengths(files.examples, settings, reserved_tokens)
        first = next(pq.ParquetFile(files.examples).iter_batches(1, columns=["kind"]))
        rows.append(
            {
                "dataset": dataset,
                "split": split,
                "kind": first.to_pylist()[0]["kind"],
                "role": "train" if is_train else ("seen" if dataset in seen else "unseen"),
                **_row_counts(ledger),
                "n_used": len(lengths),
                "n_validation": int((held_out["dataset"] == dataset).sum()) if is_train else 0,
                **_means(lengths),
            }
        )
    return pd.DataFrame(rows, columns=table_schema("data_stats").names)


def _row_counts(ledger: pd.DataFrame) -> dict[str, int]:
    """Return the records read and the rows kept: those that every rule but the draw lets pass."""
    ledger = ledger.sort_values("step")
    is_draw = ledger["rule"].str.startswith("not_sampled_for_")
    kept = ledger[~is_draw]
    return {"n_raw": int(ledger["n_in"].iloc[0]), "n_kept": int(kept["n_out"].iloc[-1])}


def _mixture_rows(paths: Sequence[Path]) -> pd.DataFrame:
    """Return the distinct rows of mixtures with their lengths, without their texts."""
    frames = [pq.read_table(path, columns=_COUNTED + _LENGTHS).to_pandas() for path in paths]
    rows = pd.concat(frames, ignore_index=True)
    return rows[rows["copy"] == 0].drop_duplicates(["dataset", "example_id"])


def _test_lengths(path: Path, settings: PromptSettings, reserved_tokens: int) -> pd.DataFrame:
    """Return the token counts of a test set's prompts and first references, as evaluated."""
    rows = read_table(path, "example").to_dict("records")
    limits = [settings.max_length - reserved_tokens] * len(rows)
    fitted = fitted_prompts(
        rows, settings.template, settings.tasks, settings.tokenizer, limits, cut_answers=True
    )
    references = [row["references"][0] if row["references"] else None for row in rows]
    counts = iter(count_tokens([text for text in references if text], settings.tokenizer))
    return pd.DataFrame(
        {
            "n_prompt_tokens": [prompt.n_tokens if prompt else None for prompt in fitted],
            "n_response_tokens": [
                next(counts) + settings.n_end_tokens if text else None for text in references
            ],
            "n_context_tokens_cut": [
                prompt.n_context_tokens_cut if prompt else 0 for prompt in fitted
            ],
            "is_answer_cut": [prompt.is_answer_cut if prompt else False for prompt in fitted],
        },
        dtype=float,
    )


def _means(lengths: pd.DataFrame) -> dict[str, Any]:
    is_cut = lengths["n_context_tokens_cut"] > 0
    return {
        "mean_prompt_tokens": lengths["n_prompt_tokens"].mean() if len(lengths) else None,
        "mean_response_tokens": lengths["n_response_tokens"].mean() if len(lengths) else None,
        "n_contexts_cut": int(is_cut.sum()),
        # Of training rows none: those of which it would be are dropped as prompt_too_long.
        "n_answers_cut": int(lengths["is_answer_cut"].sum()) if "is_answer_cut" in lengths else 0,
    }


def gold_positions(splits: Sequence[SplitFiles]) -> pd.DataFrame:
    """Return the rows of the `gold_positions` table: a histogram for each question-answering split.

    A gold passage beyond the passages kept and then promoted raises the count of a retrieval rank
    that no context has, and that of the last place.
    """
    frames = [_positions(read_table(files.ledger, "ledger"), files.examples) for files in splits]
    rows = [row for frame in frames for row in frame]
    return pd.DataFrame(rows, columns=table_schema("gold_positions").names)


def _positions(ledger: pd.DataFrame, examples: Path) -> list[dict[str, Any]]:
    table = pq.read_table(examples, columns=["gold_passages", "gold_retrieved"])
    places = [found[0] for found in table["gold_passages"].to_pylist() if found]
    retrieved = [rank for rank in table["gold_retrieved"].to_pylist() if rank is not None]
    in_context: Mapping[int, int] = pd.Series(places, dtype=int).value_counts().to_dict()
    in_retrieval: Mapping[int, int] = pd.Series(retrieved, dtype=int).value_counts().to_dict()
    return [
        {
            "dataset": ledger["item"].iloc[0],
            "split": ledger["split"].iloc[0],
            "rank": rank,
            "n_in_context": in_context.get(rank, 0),
            "n_in_retrieval": in_retrieval.get(rank, 0),
            "share_in_context": in_context.get(rank, 0) / len(places),
        }
        for rank in sorted({*in_context, *in_retrieval})
    ]
