"""Training rows as token ids: the prompt is read, only the response is learnt."""

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


def encode_file(table: Path, encoder: Encoder, cache: Path, *, processes: int = 1) -> None:
    """Encode a mixture or selected table into the Arrow file `cache`.

    Raises InputError when the table cannot be read, lacks prompt or response, or holds no rows.
    """
    from datasets import Dataset

    try:
        rows = Dataset.from_parquet(
            str(table), columns=["prompt", "response"], cache_dir=str(cache.parent / "source")
        )
    except Exception as error:  # datasets wraps whatever pyarrow raised in errors of its own
        raise InputError(f"{table} cannot be read as a table of training rows: {error}") from error
    if len(rows) == 0:
        raise InputError(f"{table} holds no rows: there is nothing to train or evaluate on")
    rows.map(
        encoder,
        batched=True,
        remove_columns=rows.column_names,
        cache_file_name=str(cache),
        new_fingerprint=cache.stem,
        num_proc=processes if len(rows) >= _PROCESS_ROWS and processes > 1 else None,
    )


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


def row_lengths(rows: "Dataset") -> list[int]:
    """Return the number of tokens of every encoded row."""
    import pyarrow.compute as compute

    return compute.list_value_length(rows.with_format("arrow")[:]["input_ids"]).to_pylist()


def collate(rows: list[dict[str, Any]], pad_token_id: int) -> dict[str, "torch.Tensor"]:
    """Pad a batch of encoded rows on the right: input_ids and labels, both [rows, longest] int64.

    There is no attention mask: under a causal model no real token sees the padding after it, and
    padded labels are ignored, so the loss is the same and attention stays on its fast causal path.
    """
    import torch

    longest = max(len(row["input_ids"]) for row in rows)
    input_ids = torch.full((len(rows), longest), pad_token_id, dtype=torch.int64)
    labels = torch.full((len(rows), longest), IGNORED_LABEL, dtype=torch.int64)
    for index, row in enumerate(rows):
        length = len(row["input_ids"])
        input_ids[index, :length] = torch.tensor(row["input_ids"])
        labels[index, :length] = torch.tensor(row["labels"])
    return {"input_ids": input_ids, "labels": labels}
