"""Attention of many draws over one prompt: the prompt's keys are read once for all of them.

The draws of a prompt are positions of ONE row of the batch. The prompt's keys and values are kept
once, and every draw has a buffer of its own for what it has written, so a step copies nothing and
computes no score that a mask would throw away. Mathematically this is the model's own attention:
the scores over the prompt and over the draw's own tokens go through one softmax.

Two simpler ways were measured beside it (docs/sampling.md): the draws as positions under a mask in
one cache (its masked columns grow with every draw) and a row for each draw (copies the prompt).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from transformers import AttentionInterface, DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer

from reset_tuning.errors import InputError

_NAME = "draws_of_shared_prompts"
UNREADABLE = (
    "the transformers backend reads models whose every layer attends to the whole text as Llama's "
    "do; generate with this one through generation.backend vllm or endpoint"
)
# What models pass beside queries, keys and mask without any effect on how they attend; dropout is
# for training.
_WITHOUT_EFFECT = {"dropout", "position_ids", "use_cache", "output_router_logits", "is_causal"}
_FIRST_CAPACITY = 32  # tokens that a draw's buffer holds at first; it doubles when it is full


class _Layer:
    """One layer's keys and values: [B, heads, L, D] of prompts, [B, Q, heads, T, D] of draws."""

    def __init__(self, prompt: DynamicLayer) -> None:
        self.prompt_keys, self.prompt_values = prompt.keys, prompt.values
        self.keys = self.values = prompt.keys.new_empty((1, 1, 1, 0, 1))  # until the first token
        self.n_tokens = 0

    def update(self, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Append the newest token of every draw, [B, heads, Q, D]."""
        if self.n_tokens == self.keys.shape[3]:
            self.keys, self.values = self._grown(self.keys, keys), self._grown(self.values, values)
        self.keys[:, :, :, self.n_tokens] = keys.transpose(1, 2)
        self.values[:, :, :, self.n_tokens] = values.transpose(1, 2)
        self.n_tokens += 1

    def _grown(self, old: torch.Tensor, new: torch.Tensor) -> torch.Tensor:
        rows, heads, draws, size = new.shape
        capacity = max(_FIRST_CAPACITY, 2 * self.n_tokens)
        grown = new.new_empty((rows, draws, heads, capacity, size))
        grown[:, :, :, : self.n_tokens] = old
        return grown

    def keep(self, rows: torch.Tensor | None, places: tuple[torch.Tensor, torch.Tensor]) -> None:
        """Drop all but some prompts (None: all stay) and some draws, given as [rows, draws]."""
        if rows is not None:
            self.prompt_keys = self.prompt_keys[rows]
            self.prompt_values = self.prompt_values[rows]
        if self.n_tokens:
            self.keys, self.values = self._kept(self.keys, places), self._kept(self.values, places)

    def _kept(self, old: torch.Tensor, places: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        capacity = old.shape[3]
        kept = old.new_empty((*places[1].shape, old.shape[2], capacity, old.shape[4]))
        kept[:, :, :, : self.n_tokens] = old[:, :, :, : self.n_tokens][places]
        return kept


class SharedPrompts:
    """The cache of a batch whose prompts have been read; the model sees it as its own."""

    def __init__(self, cache: DynamicCache, is_prompt: torch.Tensor) -> None:
        """Take over a cache of B prompts; `is_prompt` is [B, L], false for padding.

        Raises InputError for a model that does not keep all of its keys in every layer.
        """
        if any(type(layer) is not DynamicLayer for layer in cache.layers):
            raise InputError(UNREADABLE)
        self._layers = [_Layer(layer) for layer in cache.layers]
        self.mask = is_prompt[:, None, None, :]

    def update(
        self, keys: torch.Tensor, values: torch.Tensor, layer: int, *_: Any, **__: Any
    ) -> tuple[_Layer, _Layer]:
        """Append one token of every draw; what is returned goes to `_attend` as key and value."""
        self._layers[layer].update(keys, values)
        return self._layers[layer], self._layers[layer]

    def get_seq_length(self, layer: int = 0) -> int:
        """Return the tokens of a draw with its padded prompt."""
        return self.mask.shape[-1] + self._layers[layer].n_tokens

    def keep(self, rows: torch.Tensor | None, places: tuple[torch.Tensor, torch.Tensor]) -> None:
        """Drop what is finished: `rows` are the prompts that stay (None: all of them), `places`
        the (prompt, draw) of each place that stays, both [rows, draws].
        """
        if rows is not None:
            self.mask = self.mask[rows]
        for layer in self._layers:
            layer.keep(rows, places)


@contextmanager
def attention_of_draws(model: PreTrainedModel) -> Iterator[None]:
    """Let a model attend by `SharedPrompts` within the block."""
    own = model.config._attn_implementation
    model.set_attn_implementation(_NAME)
    try:
        yield
    finally:
        model.set_attn_implementation(own)


def _attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: _Layer,
    value: _Layer,
    attention_mask: torch.Tensor,
    scaling: float | None = None,
    **others: Any,
) -> tuple[torch.Tensor, None]:
    """Return the attention of the draws, [B, Q, heads, D], for queries [B, heads, Q, D].

    `attention_mask` is [B, 1, 1, L], true where a prompt has a token. Raises InputError for an
    argument that may have an effect, such as a soft cap of the scores: none is left out silently.
    """
    passed = {name for name, value in others.items() if value is not None}
    if unknown := sorted(passed - _WITHOUT_EFFECT):
        raise InputError(f"{UNREADABLE} (it passes {', '.join(unknown)} to its attention)")
    rows, heads, draws, size = query.shape
    groups = key.prompt_keys.shape[1]  # several heads may share keys
    n = key.n_tokens
    query = (query * (scaling if scaling is not None else size**-0.5)).contiguous()
    over_prompt = query.view(rows, groups, -1, size) @ key.prompt_keys.transpose(2, 3)
    over_prompt = over_prompt.view(rows, groups, -1, draws, over_prompt.shape[-1])
    over_prompt = over_prompt.masked_fill(~attention_mask[:, None], -torch.inf)
    by_draw = query.view(rows, groups, -1, draws, size).permute(0, 3, 1, 2, 4)
    over_own = (by_draw @ key.keys[:, :, :, :n].transpose(3, 4)).permute(0, 2, 3, 1, 4)
    weights = torch.cat([over_prompt, over_own], -1).softmax(-1, dtype=torch.float32)
    weights = weights.to(query.dtype)
    on_prompt, on_own = weights[..., :-n], weights[..., -n:]
    mixed = on_prompt.reshape(rows, groups, -1, on_prompt.shape[-1]) @ value.prompt_values
    mixed = mixed.view(rows, groups, -1, draws, size).permute(0, 3, 1, 2, 4)
    mixed = mixed + on_own.permute(0, 3, 1, 2, 4) @ value.values[:, :, :, :n]
    return mixed.reshape(rows, draws, heads, size), None


AttentionInterface.register(_NAME, _attend)
