"""Logits only where a token is to be learnt.

Most tokens of a row are its prompt, whose logits nobody reads: at 2,048 tokens and a vocabulary of
32,000 the logits of one row are 262 MB in fp32.
"""

from typing import Any

import torch
from transformers import PreTrainedModel

from reset_tuning.training.encoding import IGNORED_LABEL


class TargetHead:
    """Makes the output layer of a causal model skip the positions without a target.

    After `aim` the logits of the model's next forward pass are [targets, vocabulary], in the order
    of `target_positions`; without it they are those of all positions.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        self._positions: tuple[torch.Tensor, torch.Tensor] | None = None
        model.get_output_embeddings().register_forward_pre_hook(self._select)

    def aim(self, labels: torch.Tensor) -> None:
        """Set the labels of the batch that comes next, [rows, length]."""
        self._positions = target_positions(labels)

    def _select(self, _: torch.nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        hidden, *others = inputs
        positions, self._positions = self._positions, None
        return (hidden if positions is None else hidden[positions], *others)


def target_positions(labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return rows and columns of the positions whose next token counts; `labels` [rows, length]."""
    return (labels[:, 1:] != IGNORED_LABEL).nonzero(as_tuple=True)


def target_losses(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the negative log-likelihood of every target, [targets] fp32.

    `logits` are [targets, vocabulary] and `labels` [rows, length].
    """
    rows, columns = target_positions(labels)
    targets = labels[rows, columns + 1]
    return torch.nn.functional.cross_entropy(logits.float(), targets, reduction="none")


def mean_loss(
    outputs: Any, labels: torch.Tensor, num_items_in_batch: torch.Tensor | int | None = None
) -> torch.Tensor:
    """Return the loss of a micro-batch as the Trainer wants it: its share of the batch's mean."""
    losses = target_losses(outputs.logits, labels)
    return losses.sum() / (len(losses) if num_items_in_batch is None else num_items_in_batch)


def sum_row_losses(logits: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return per row the summed negative log-likelihood (float64) and the number of targets.

    `logits` are [targets, vocabulary] and `labels` [rows, length].
    """
    rows, _ = target_positions(labels)
    losses = target_losses(logits, labels)
    sums = torch.zeros(len(labels), dtype=torch.float64, device=labels.device)
    counts = torch.zeros(len(labels), dtype=torch.int64, device=labels.device)
    sums.index_add_(0, rows, losses.double())
    counts.index_add_(0, rows, torch.ones_like(rows))
    return sums, counts
