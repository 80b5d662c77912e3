"""Token rows with a loss weight for every token, and batches of them."""

from collections.abc import Iterable, Iterator, Sequence

import torch
from transformers import PreTrainedTokenizerFast

from reset_tuning.mini.documents import Document

Row = tuple[list[int], list[float]]


def encode(tokenizer: PreTrainedTokenizerFast, text: str) -> list[int]:
    """Return the token ids of a text without special tokens."""
    return tokenizer.backend_tokenizer.encode(text, add_special_tokens=False).ids


def encode_document(
    tokenizer: PreTrainedTokenizerFast, document: Document, context_weight: float
) -> Row:
    """Return a document's ids between <s> and </s>, and the loss weight of every id.

    Answers and the end weigh 1, the rest `context_weight`, the start 0.
    """
    ids, weights = [tokenizer.bos_token_id], [0.0]
    for segment in document:
        tokens = encode(tokenizer, segment.text)
        ids += tokens
        weights += [1.0 if segment.is_answer else context_weight] * len(tokens)
    return [*ids, tokenizer.eos_token_id], [*weights, 1.0]


def encode_pair(tokenizer: PreTrainedTokenizerFast, prompt: str, response: str) -> Row:
    """Return a prompt with its response; only the response and its end weigh in the loss."""
    prompt_ids = [tokenizer.bos_token_id, *encode(tokenizer, prompt)]
    response_ids = [*encode(tokenizer, response), tokenizer.eos_token_id]
    weights = [0.0] * len(prompt_ids) + [1.0] * len(response_ids)
    return prompt_ids + response_ids, weights


def pack(rows: Iterable[Row], length: int) -> Iterator[Row]:
    """Fill rows of exactly `length` tokens with whole documents; longer documents are skipped.

    Documents in a row see one another, as in ordinary pre-training. `rows` has no end: what does
    not fill a row yet is kept for the next one.
    """
    ids: list[int] = []
    weights: list[float] = []
    for more_ids, more_weights in rows:
        if len(more_ids) > length:
            continue
        if len(ids) + len(more_ids) > length:
            padding = length - len(ids)
            yield ids + [0] * padding, weights + [0.0] * padding
            ids, weights = [], []
        ids, weights = ids + more_ids, weights + more_weights


def pad_batch(rows: Sequence[Row]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return ids and weights [rows, longest], padded at the right with id 0 and weight 0."""
    width = max(len(ids) for ids, _ in rows)
    ids = torch.tensor([row + [0] * (width - len(row)) for row, _ in rows])
    weights = torch.tensor([row + [0.0] * (width - len(row)) for _, row in rows])
    return ids, weights


def weighted_loss(logits: torch.Tensor, ids: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Return the weighted mean next-token loss in nats; logits are [rows, tokens, vocabulary]."""
    losses = torch.nn.functional.cross_entropy(
        logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten(), reduction="none"
    )
    weight = weights[:, 1:].flatten()
    return (losses * weight).sum() / weight.sum()
