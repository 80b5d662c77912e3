"""The choice of the next token."""

import torch
from transformers import TemperatureLogitsWarper, TopKLogitsWarper

from reset_tuning.sampling.choice import next_tokens, uniform_numbers

LOGITS = torch.randn(31, generator=torch.Generator().manual_seed(0)) * 2


def choose(temperature: float, top_k: int, uniform: torch.Tensor) -> torch.Tensor:
    rows = len(uniform)
    return next_tokens(
        LOGITS.expand(rows, -1),
        torch.full((rows,), temperature, dtype=torch.float64),
        torch.full((rows,), top_k),
        uniform,
    )


def test_frequencies_are_those_that_transformers_would_sample_from():
    uniform = (torch.arange(20_000, dtype=torch.float64) + 0.5) / 20_000
    for temperature, top_k in ((0.1, 0), (0.7, 0), (1.0, 5), (2.0, 20), (1.0, 100), (1.3, 1)):
        scores = TemperatureLogitsWarper(temperature)(None, LOGITS[None])
        if top_k:
            scores = TopKLogitsWarper(top_k)(None, scores)
        counts = torch.bincount(choose(temperature, top_k, uniform), minlength=31) / 20_000
        assert torch.allclose(counts, scores.softmax(-1)[0], atol=1.5e-4)


def test_temperature_zero_takes_the_most_likely_token():
    assert set(choose(0.0, 0, uniform_numbers(1, 50)).tolist()) == {int(LOGITS.argmax())}


def test_every_row_has_a_setting_of_its_own():
    uniform = uniform_numbers(5, 6)
    temperature = torch.tensor([0.0, 0.2, 1.0, 1.0, 3.0, 0.0], dtype=torch.float64)
    top_k = torch.tensor([0, 0, 3, 100, 0, 0])
    together = next_tokens(LOGITS.expand(6, -1), temperature, top_k, uniform)
    alone = [
        int(choose(float(t), int(k), uniform[row : row + 1]))
        for row, (t, k) in enumerate(zip(temperature, top_k, strict=True))
    ]
    assert together.tolist() == alone


def test_the_ends_of_the_unit_interval_are_tokens_that_are_allowed():
    uniform = torch.tensor([0.0, 1 - 2**-53], dtype=torch.float64)
    allowed = set(LOGITS.topk(3).indices.tolist())
    assert set(choose(1.0, 3, uniform).tolist()) <= allowed


def test_a_draws_numbers_depend_on_all_bits_of_its_seed_only():
    numbers = uniform_numbers(2**62 + 5, 100)
    assert torch.equal(uniform_numbers(2**62 + 5, 7), numbers[:7])
    assert not torch.equal(uniform_numbers(5, 7), numbers[:7])
    assert bool(((numbers >= 0) & (numbers < 1)).all())
