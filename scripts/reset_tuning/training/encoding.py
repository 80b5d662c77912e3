"""Training rows as token ids: the prompt is read, only the response is learnt."""

import glob
import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reset_tuning.errors import InputError

if TYPE_CHECKING:
    import torch
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase

logger = logging.getLogger(__name__)

IGNORED_LABEL = -100  # what torch's cross entropy leaves out
NO_ROW = -1  # the number in the table of a row that only fills a place
_PROCESS_ROWS = 20_000  # below this, starting further processes costs more than it saves


@dataclass(frozen=True)
class Encoder:
    """Turns batches of prompts and responses into token ids and labels (picklable for workers)."""

    tokenizer: "PreTrainedTokenizerBase"
    max_length: int

    def __post_init__(self) -> None:
        if self.tokenizer.bos_token_id is None or self.tokenizer.eos_token_id is None:
            raise InputError(
                f"the tokenizer {self.tokenizer.name_or_path} lacks a BOS or an EOS token: "
                "training marks the start and the end of every row with them"
            )

    def __call__(self, rows: dict[str, Sequence[str]]) -> dict[str, list[list[int]]]:
        """Encode a batch: [BOS] prompt response [EOS]; everything up to the response is ignored.

        The response is tokenised apart from the prompt, as it is in generation. Raises InputError
        for a row longer than `max_length`, which the mixture stage has already fitted.
        """
        prompts = self._tokenize(rows["prompt"])
        responses = self._tokenize(rows["response"])
        encoded: dict[str, list[list[int]]] = {"input_ids": [], "labels": []}
        for prompt, response in zip(prompts, responses, strict=True):
            target = [*response, self.tokenizer.eos_token_id]
            ids = [self.tokenizer.bos_token_id, *prompt, *target]
            if len(ids) > self.max_length:
                raise InputError(
                    f"a training row has {len(ids)} tokens, more than prompt.max_length "
                    f"{self.max_length}: build its mixture again with this tokenizer and length"
                )
            encoded["input_ids"].append(ids)
            encoded["labels"].append([IGNORED_LABEL] * (len(ids) - len(target)) + target)
        return encoded

    def _tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        return self.tokenizer(list(texts), add_special_tokens=False)["input_ids"]


def encode_file(
    table: Path, encoder: Encoder, cache: Path, processes: int = 1, most: int | None = None
) -> None:
    """Encode a mixture or selected table into the Arrow file `cache`.

    Beside input_ids and labels a row keeps its number in the table as `row`. With `most` only that
    many rows are taken: those whose ids have the lowest digests, so always the same ones. A row
    whose response is empty is all prompt: it is dropped and counted. Raises InputError when the
    table cannot be read, lacks a column, or holds no rows to train on.
    """
    from datasets import Dataset

    columns = ["example_id", "prompt", "response"]
    pattern = glob.escape(str(table.absolute()))  # which the library takes a path for
    try:
        rows = Dataset.from_parquet(
            pattern, columns=columns, cache_dir=str(cache.parent / "source")
        )
    except Exception as error:  # datasets wraps whatever pyarrow raised in errors of its own
        raise InputError(f"{table} cannot be read as a table of training rows: {error}") from error
    chosen = _with_response(rows, table)
    if most is not None:
        ids = rows["example_id"]
        chosen = sorted(sorted(chosen, key=lambda row: (_digest(ids[row]), row))[:most])
    if not chosen:
        raise InputError(f"{table} holds no rows: there is nothing to train or evaluate on")
    rows.add_column("row", list(range(len(rows)))).select(chosen).map(
        encoder,
        batched=True,
        remove_columns=columns,
        cache_file_name=str(cache),
        new_fingerprint=cache.stem,
        num_proc=processes if len(rows) >= _PROCESS_ROWS and processes > 1 else None,
    )


def _with_response(rows: "Dataset", table: Path) -> list[int]:
    """Return the numbers of the rows that have something to learn; log how many have not."""
    chosen = [number for number, text in enumerate(rows["response"]) if text and text.strip()]
    if dropped := len(rows) - len(chosen):
        logger.warning("%s: %d rows are all prompt and are left out", table, dropped)
    return chosen


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def load_encoded(cache: Path, *, by_length: bool = False) -> "Dataset":
    """Return the rows that `encode_file` wrote, optionally from the shortest to the longest."""
    from datasets import Dataset, concatenate_datasets

    # Several processes write several files: <stem>_00000_of_00004.arrow and so on.
    parts = [cache] if cache.exists() else sorted(cache.parent.glob(f"{cache.stem}_*_of_*.arrow"))
    rows = concatenate_datasets([Dataset.from_file(str(part)) for part in parts])
    if by_length:
        lengths = row_lengths(rows)
        rows = rows.select(sorted(range(len(rows)), key=lengths.__getitem__))
    return rows


def with_filler(rows: "Dataset") -> "Dataset":
    """Return the rows and, behind them, one of a single token that has nothing to learn.

    Ranks without a row of their own in the last round of an epoch take it (see RowOrder).
    """
    from datasets import Dataset, concatenate_datasets

    filler = {"input_ids": [[0]], "labels": [[IGNORED_LABEL]], "row": [NO_ROW]}
    return concatenate_datasets([rows, Dataset.from_dict(filler, features=rows.features)])


def row_lengths(rows: "Dataset") -> list[int]:
    """Return the number of tokens of every encoded row."""
    import pyarrow.compute as compute

    return compute.list_value_length(rows.with_format("arrow")[:]["input_ids"]).to_pylist()


def collate(rows: list[dict[str, Any]], pad_token_id: int) -> dict[str, "torch.Tensor"]:
    """Pad a batch of encoded rows on the right.

    Returns input_ids and labels, both [rows, longest] int64, and row, [rows] int64. There is no
    attention mask: under a causal model no real token sees the padding after it, and padded labels
    are ignored, so the loss is the same and attention stays on its fast causal path.
    """
    import torch

    longest = max(len(row["input_ids"]) for row in rows)
    input_ids = torch.full((len(rows), longest), pad_token_id, dtype=torch.int64)
    labels = torch.full((len(rows), longest), IGNORED_LABEL, dtype=torch.int64)
    for index, row in enumerate(rows):
        length = len(row["input_ids"])
        input_ids[index, :length] = torch.tensor(row["input_ids"])
        labels[index, :length] = torch.tensor(row["labels"])
    return {"input_ids": input_ids, "labels": labels, "row": torch.tensor(row_numbers(rows))}


def pack(rows: list[dict[str, Any]]) -> dict[str, "torch.Tensor"]:
    """Lay a batch of encoded rows out as one row without padding.

    Returns input_ids, labels and position_ids, all [1, tokens] int64, and row, [rows] int64. The
    positions start again with every row, which tells attention where rows begin; the first label
    of a row is ignored, since the token before it belongs to another.
    """
    import torch

    input_ids = [token for row in rows for token in row["input_ids"]]
    labels = [label for row in rows for label in (IGNORED_LABEL, *row["labels"][1:])]
    positions = [position for row in rows for position in range(len(row["input_ids"]))]
    return {
        "input_ids": torch.tensor([input_ids]),
        "labels": torch.tensor([labels]),
        "position_ids": torch.tensor([positions]),
        "row": torch.tensor(row_numbers(rows)),
    }


def row_numbers(rows: list[dict[str, Any]]) -> list[int]:
    """Return the rows' numbers in their table."""
    return [row["row"] for row in rows]
