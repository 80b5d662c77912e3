"""A Trainer that evaluates by tokens, keeps the best weights and reports as it goes."""

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import (
    EvalPrediction,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from reset_tuning.errors import InputError
from reset_tuning.training.checkpoints import make_readable
from reset_tuning.training.encoding import IGNORED_LABEL

logger = logging.getLogger(__name__)

_PROGRESS_SECONDS = 10.0
_ONE_SHARD = "10TB"  # a checkpoint is one file, whatever its size


@dataclass
class History:
    """What every evaluation saw; rows of the table `history` without run and seed."""

    rows: list[dict[str, Any]] = field(default_factory=list)

    @property
    def best_loss(self) -> float:
        """Return the lowest evaluation loss so far (infinity before the first evaluation)."""
        return min((row["eval_loss"] for row in self.rows), default=math.inf)

    @property
    def best_step(self) -> int:
        """Return the step of the lowest evaluation loss, the earliest of equals."""
        return min(self.rows, key=lambda row: row["eval_loss"])["step"]

    def add(self, row: dict[str, Any]) -> bool:
        """Append an evaluation and return whether it is the best so far."""
        best = row["eval_loss"] < self.best_loss
        self.rows.append({**row, "best": best})
        return best


class CheckpointingTrainer(Trainer):
    """Trainer with token-weighted evaluation; saves consolidated weights whenever they are best.

    The evaluation loss is the sum of all target tokens' negative log-likelihoods over their
    number, so it depends neither on the batch size nor on the number of ranks. Perplexity, its
    exponential, chooses the best checkpoint, as in the paper; the last step is evaluated too.
    """

    def __init__(
        self,
        *,
        model: PreTrainedModel,
        args: TrainingArguments,
        tokenizer: PreTrainedTokenizerBase,
        output: Path,
        **datasets: Any,
    ) -> None:
        super().__init__(
            model=model,
            args=args,
            compute_metrics=_weigh_by_tokens,
            callbacks=[ProgressLines()],
            **datasets,
        )
        self.remove_callback(PrinterCallback)
        self.tokenizer = tokenizer
        self.output = output
        self.history = History()
        self._loss_sum = torch.zeros((), device=args.device)
        self._loss_since_step = 0
        self._learning_rate = 0.0

    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Train on one micro-batch; remember its loss, without waiting for the device, and rate."""
        self._learning_rate = self._get_learning_rate()
        loss = super().training_step(*args, **kwargs)
        self._loss_sum += loss
        return loss

    def prediction_step(
        self, model: torch.nn.Module, inputs: dict[str, torch.Tensor], *_: Any, **__: Any
    ) -> tuple[None, torch.Tensor, torch.Tensor]:
        """Return each row's summed negative log-likelihood and its number of target tokens."""
        inputs = self._prepare_inputs(inputs)
        labels = inputs["labels"]
        with torch.no_grad():
            logits = model(input_ids=inputs["input_ids"]).logits
        return None, *sum_row_losses(logits, labels)

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Evaluate; during training also record the result and save weights that are the best."""
        metrics = super().evaluate(*args, **kwargs)
        if self.is_in_train:
            self._record(metrics)
        return metrics

    def write_checkpoint(self, directory: Path) -> None:
        """Gather the partitioned weights and write a complete checkpoint (all ranks must call)."""
        weights = self.accelerator.get_state_dict(self.model_wrapped)
        if not self.is_world_process_zero():
            return
        config, trained_with_cache = self.model.config, self.model.config.use_cache
        config.use_cache = True  # the Trainer turns it off, and generation would crawl without it
        self.model.save_pretrained(directory, state_dict=weights, max_shard_size=_ONE_SHARD)
        config.use_cache = trained_with_cache
        self.tokenizer.save_pretrained(directory)
        make_readable(directory)

    def _record(self, metrics: dict[str, float]) -> None:
        step, loss = self.state.global_step, metrics["eval_loss"]
        if not math.isfinite(loss):
            raise InputError(
                f"training diverged: the evaluation loss at step {step} is {loss}; "
                "lower training.learning_rate or raise training.warmup_ratio"
            )
        row = {
            "step": step,
            "epoch": self.state.epoch,
            "train_loss": self._mean_train_loss(step),
            "eval_loss": loss,
            "perplexity": metrics["eval_perplexity"],
            "learning_rate": self._learning_rate,
        }
        best = self.history.add(row)
        if best:
            self.write_checkpoint(self.output / "best")
        if self.is_world_process_zero():
            message = "step %d: train loss %.4f, evaluation loss %.4f, perplexity %.4f%s"
            shown = (row["train_loss"], loss, row["perplexity"], " (best so far)" if best else "")
            logger.info(message, step, *shown)

    def _mean_train_loss(self, step: int) -> float:
        """Return the mean loss of the steps since the last call, over all ranks."""
        mean = self.accelerator.gather(self._loss_sum).mean().item()
        steps = step - self._loss_since_step
        self._loss_sum.zero_()
        self._loss_since_step = step
        return mean / steps


def sum_row_losses(logits: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return per row the summed negative log-likelihood (float64) and the number of targets.

    `logits` are [rows, length, vocabulary] and `labels` [rows, length]; position t predicts label
    t + 1. Only the target positions are brought to fp32, which is most of the memory at full size.
    """
    targets = labels[:, 1:]
    row, column = (targets != IGNORED_LABEL).nonzero(as_tuple=True)
    losses = torch.nn.functional.cross_entropy(
        logits[row, column].float(), targets[row, column], reduction="none"
    )
    sums = torch.zeros(len(labels), dtype=torch.float64, device=labels.device)
    counts = torch.zeros(len(labels), dtype=torch.int64, device=labels.device)
    sums.index_add_(0, row, losses.double())
    counts.index_add_(0, row, torch.ones_like(row))
    return sums, counts


def _weigh_by_tokens(rows: EvalPrediction) -> dict[str, float]:
    """Return the loss per target token over the whole evaluation set, and its perplexity."""
    loss = float(np.sum(rows.predictions) / np.sum(rows.label_ids))
    return {"loss": loss, "perplexity": math.exp(loss) if loss < 700 else math.inf}


class ProgressLines(TrainerCallback):
    """Logs the step, of how many, and the rate, at most every ten seconds and at the end."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._start = self._shown = 0.0
        self._first_step = 0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Start the clock at the step that training starts from."""
        self._start = self._shown = self._clock()
        self._first_step = state.global_step
        if state.is_world_process_zero:
            logger.info("training: %d steps", state.max_steps)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Log a line when ten seconds have passed since the last one, or at the last step."""
        now = self._clock()
        last = state.global_step == state.max_steps
        if not state.is_world_process_zero or (now - self._shown < _PROGRESS_SECONDS and not last):
            return
        self._shown = now
        rate = (state.global_step - self._first_step) / max(now - self._start, 1e-9)
        left = (state.max_steps - state.global_step) / rate
        message = "step %d of %d, %.2f steps/s, %.0f s left"
        logger.info(message, state.global_step, state.max_steps, rate, left)
