"""Tokens per second, and the share of the device's peak that the model's arithmetic reaches."""

import time
from collections.abc import Callable, Iterable
from typing import Any, Self

import torch
from transformers import PreTrainedModel, TrainingArguments

# Dense bf16 operations per second, from NVIDIA's data sheets; the first name that fits counts.
_PEAKS = {
    "B200": 2250e12,
    "H200 NVL": 835.5e12,  # the sheets give 1,671e12, with sparsity
    "H200": 989e12,
    "H100 NVL": 835.5e12,
    "H100 PCIe": 756e12,
    "H100": 989e12,
    "A100": 312e12,
    "L40S": 362e12,
}


class Speed:
    """A clock that runs while steps are made and stands still while states or losses are taken."""

    def __init__(
        self,
        operations_per_token: float,
        peak: float | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.seconds = 0.0  # of training in all, earlier jobs of the same training included
        self._operations = operations_per_token
        self._peak = peak
        self._clock = clock
        self._started: float | None = None
        self._interval = 0.0  # seconds of training since the last rates
        self._tokens = 0  # tokens at the last rates

    @classmethod
    def of(cls, model: PreTrainedModel, mean_length: float, args: TrainingArguments) -> Self:
        """Return the clock of a model that is trained on rows of `mean_length` tokens."""
        device = torch.cuda.get_device_name() if args.device.type == "cuda" else None
        peak = peak_operations(device) if args.bf16 else None
        config = model.config.get_text_config()
        return cls(
            operations_per_token(
                _count(p for p in model.parameters() if p.requires_grad),
                _count(p for p in model.parameters() if not p.requires_grad),
                config.num_hidden_layers,
                config.hidden_size,
                mean_length,
            ),
            peak,
        )

    def begin(self, tokens: int) -> None:
        """Start; `tokens` have been seen so far by all ranks, in this job and in earlier ones."""
        self._tokens = tokens
        self.start()

    def start(self) -> None:
        """Let the clock run."""
        self._started = self._clock()

    def stop(self) -> None:
        """Let the clock stand still."""
        if self._started is not None:
            seconds = self._clock() - self._started
            self._interval += seconds
            self.seconds += seconds
            self._started = None

    def rates(self, tokens: int, ranks: int) -> dict[str, Any]:
        """Return tokens_per_second of all ranks and mfu since the last call, or the beginning."""
        rate = (tokens - self._tokens) / max(self._interval, 1e-9)
        self._tokens, self._interval = tokens, 0.0
        mfu = None if self._peak is None else rate * self._operations / (self._peak * ranks)
        return {"tokens_per_second": rate, "mfu": mfu}


def _count(parameters: Iterable[torch.nn.Parameter]) -> int:
    """Return the number of weights, also of those that ZeRO-3 holds in parts."""
    return sum(getattr(parameter, "ds_numel", parameter.numel()) for parameter in parameters)


def operations_per_token(
    trained: int, frozen: int, layers: int, hidden_size: int, mean_length: float
) -> float:
    """Return the operations of one token's forward and backward pass.

    6 N + 12 L H T, as in appendix B of the PaLM paper: recomputed activations do not count. A
    frozen weight costs four operations, because no gradient of its own is needed.
    """
    return 6.0 * trained + 4.0 * frozen + 12.0 * layers * hidden_size * mean_length


def peak_operations(device: str | None) -> float | None:
    """Return a device's dense bf16 operations per second; None where they are not known."""
    return next((peak for name, peak in _PEAKS.items() if device and name in device), None)
