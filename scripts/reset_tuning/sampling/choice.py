"""The choice of the next token: greedy or random, with a setting of its own for every row."""

import numpy as np
import torch


def uniform_numbers(seed: int, count: int) -> torch.Tensor:
    """Return the `count` numbers in [0, 1) that a draw consumes, one a token: [count] float64.

    They depend on the seed alone, on every device, and a longer sequence begins with the shorter.
    """
    # Philox takes all 63 bits of the seed; torch's CPU generator uses the lowest 32.
    return torch.from_numpy(np.random.Generator(np.random.Philox(key=seed)).random(count))


def next_tokens(
    logits: torch.Tensor, temperature: torch.Tensor, top_k: torch.Tensor, uniform: torch.Tensor
) -> torch.Tensor:
    """Return the next token of each row: [rows] int64.

    `logits` is [rows, vocabulary]; `temperature` (0 = greedy), `top_k` (0 = off) and `uniform` are
    [rows]. A row is the inverse of its cumulative distribution at `uniform`, in the order of the
    vocabulary, so no row touches another's randomness and rounding moves a choice only where
    `uniform` falls on the border of two tokens.
    """
    greedy = logits.argmax(-1)
    if not bool((temperature > 0).any()):
        return greedy
    divisor = torch.where(temperature > 0, temperature, 1.0).float()
    scaled = _keep_top_k(logits.float() / divisor[:, None], top_k)  # a copy that may be changed
    cumulative = scaled.softmax(-1).cumsum(-1, dtype=torch.float64)
    # The total differs from 1 by rounding: scaling by it keeps the point below the last step.
    point = uniform[:, None] * cumulative[:, -1:]
    drawn = torch.searchsorted(cumulative, point, right=True)[:, 0]
    return torch.where(temperature > 0, drawn.clamp(max=logits.shape[-1] - 1), greedy)


def _keep_top_k(logits: torch.Tensor, top_k: torch.Tensor) -> torch.Tensor:
    """Rule out all but the `top_k` highest tokens of each row; ties with the last one stay."""
    limited = (top_k > 0).nonzero()[:, 0]
    if not len(limited):
        return logits
    chosen, places = logits[limited], top_k[limited].clamp(max=logits.shape[-1])
    highest = chosen.topk(int(places.max()), dim=-1).values
    threshold = highest.gather(1, places[:, None] - 1)
    logits[limited] = chosen.masked_fill(chosen < threshold, -torch.inf)
    return logits
