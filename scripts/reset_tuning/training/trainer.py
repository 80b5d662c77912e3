"""A Trainer that evaluates by tokens, keeps the best weights and its state, and tells of both."""

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader
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
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from reset_tuning.errors import InputError
from reset_tuning.files import flush_tree
from reset_tuning.training.adapter import merge_adapter
from reset_tuning.training.checkpoints import best_directory, make_readable, remove_all_but
from reset_tuning.training.distributed import gather_lists, largest
from reset_tuning.training.encoding import NO_ROW
from reset_tuning.training.order import RowOrder
from reset_tuning.training.settings import AdapterSettings
from reset_tuning.training.speed import Speed
from reset_tuning.training.state import complete_state, last_state, read_state
from reset_tuning.training.targets import TargetHead, mean_loss, sum_row_losses

logger = logging.getLogger(__name__)

_PROGRESS_SECONDS = 10.0
_ONE_SHARD = "10TB"  # a checkpoint is one file, whatever its size
_NO_NUMBER = ("", "gradient", "loss")  # what a step may spoil; the last counts where two are
_DIVERGED = 2.0  # times the loss of guessing every token of the vocabulary alike


@dataclass
class History:
    """What every evaluation saw; rows of the table `history` without run and seed."""

    rows: list[dict[str, Any]] = field(default_factory=list)

    @property
    def best_loss(self) -> float:
        """Return the lowest evaluation loss so far (infinity before the first evaluation)."""
        return min((row["eval_loss"] for row in self.rows), default=math.inf)

    @property
    def best_step(self) -> int | None:
        """Return the step of the lowest evaluation loss, the earliest of equals."""
        best = min(self.rows, key=lambda row: row["eval_loss"], default=None)
        return None if best is None else best["step"]

    def add(self, row: dict[str, Any]) -> bool:
        """Append an evaluation and return whether it is the best so far."""
        best = row["eval_loss"] < self.best_loss
        self.rows.append({**row, "best": best})
        return best


class LossError(Exception):
    """The loss or the gradient of a step is not a number; `rows` are those that the step took."""

    def __init__(self, what: str, step: int, learning_rate: float, rows: list[int]) -> None:
        super().__init__(what, step, learning_rate, rows)
        self.what = what
        self.step = step
        self.learning_rate = learning_rate
        self.rows = rows


@dataclass
class Tally:
    """What one rank counts between two evaluations, and the tokens that it has seen in all."""

    loss: torch.Tensor  # sum over the steps since the last evaluation, kept on the device
    first_step: int = 0  # the step of the last evaluation
    tokens: int = 0


class CheckpointingTrainer(Trainer):
    """Trainer with token-weighted evaluation that keeps its best weights and its state.

    The evaluation loss is the sum of all target tokens' negative log-likelihoods over their
    number, so it depends neither on the batch size nor on the number of ranks. Perplexity, its
    exponential, chooses the best checkpoint, as in the paper; the last step is evaluated too.
    Weights are written to best-<step> below `output`, those of an `adapter` merged into their
    base; a state (see state.py) is written when a callback asks for it. `lengths` are the tokens
    of a training row by the number in its column `row`.
    """

    def __init__(
        self,
        *,
        model: PreTrainedModel,
        args: TrainingArguments,
        tokenizer: PreTrainedTokenizerBase,
        output: Path,
        order: RowOrder | None = None,
        evaluation_collator: Callable[[list[dict[str, Any]]], dict[str, torch.Tensor]],
        adapter: AdapterSettings | None = None,
        lengths: Mapping[int, int] | None = None,
        callbacks: Sequence[TrainerCallback] = (),
        **datasets: Any,
    ) -> None:
        self._head = TargetHead(model)
        super().__init__(
            model=model,
            args=args,
            compute_loss_func=mean_loss,
            compute_metrics=_weigh_by_tokens,
            callbacks=[Steps(self), *callbacks, ProgressLines()],
            **datasets,
        )
        self.remove_callback(PrinterCallback)
        self.tokenizer = tokenizer
        self.output = output
        self.adapter = adapter
        self.history = History()
        self.lengths = lengths or {}
        mean_length = sum(self.lengths.values()) / max(1, len(self.lengths))
        self.speed = Speed.of(model, mean_length, args)
        self._evaluation_collator = evaluation_collator
        self._order = order
        self._tally = Tally(torch.zeros((), device=args.device))
        self._step_rows: list[int] = []
        self.learning_rate = 0.0
        self.started = time.monotonic()
        self._earlier_seconds = 0.0
        self._gradient_norm: float | None = None
        self._kept_best: int | None = None

    def train_from_last_state(self) -> None:
        """Train to the end, from the newest complete state if there is one."""
        state = last_state(self.output)
        if state is not None:
            self._restore(state)
        self.train(resume_from_checkpoint=None if state is None else str(state))

    def wall_seconds(self) -> float:
        """Return the seconds since `started`, and those of earlier jobs up to their last states."""
        return self._earlier_seconds + time.monotonic() - self.started

    def training_step(
        self, model: torch.nn.Module, inputs: dict[str, Any], *args: Any, **kwargs: Any
    ) -> torch.Tensor:
        """Train on one micro-batch; remember its rows and its loss."""
        rows = [row for row in inputs.pop("row").tolist() if row != NO_ROW]
        self._step_rows += rows
        self._tally.tokens += sum(self.lengths[row] for row in rows)
        self.learning_rate = self._get_learning_rate()
        self._head.aim(inputs["labels"])
        loss = super().training_step(model, inputs, *args, **kwargs)
        self._tally.loss += loss
        return loss

    def prediction_step(
        self, model: torch.nn.Module, inputs: dict[str, torch.Tensor], *_: Any, **__: Any
    ) -> tuple[None, torch.Tensor, torch.Tensor]:
        """Return each row's summed negative log-likelihood and its number of target tokens."""
        inputs = self._prepare_inputs(inputs)
        labels = inputs["labels"]
        self._head.aim(labels)
        with torch.no_grad():
            logits = model(input_ids=inputs["input_ids"]).logits
        return None, *sum_row_losses(logits, labels)

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Evaluate; during training also record the result and save weights that are the best."""
        self.speed.stop()
        if self.is_in_train and self.is_world_process_zero():
            rows = len(self.eval_dataset)
            logger.info("step %d: evaluating on %d rows", self.state.global_step, rows)
        metrics = super().evaluate(*args, **kwargs)
        if self.is_in_train:
            self._record(metrics)
            self.speed.start()
        return metrics

    def begin_steps(self) -> None:
        """Let the clock run: DeepSpeed's engine stands, and steps begin (all ranks must call)."""
        self.speed.begin(sum(self._gather_tallies()[1]))

    def begin_epoch(self, epoch: int) -> None:
        """Choose the order of an epoch's rows."""
        if self._order is not None:
            self._order.epoch = epoch

    def get_eval_dataloader(self, eval_dataset: Any = None) -> DataLoader:
        """Return the evaluation batches: padded ones, also where training packs its rows."""
        training, self.data_collator = self.data_collator, self._evaluation_collator
        try:
            return super().get_eval_dataloader(eval_dataset)
        finally:
            self.data_collator = training

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Write weights into a state only without DeepSpeed: its own files hold them already."""
        if not self.is_deepspeed_enabled:
            super().save_model(output_dir, _internal_call)

    def write_checkpoint(self, directory: Path) -> None:
        """Gather the partitioned weights and write a complete checkpoint (all ranks must call)."""
        weights = self.accelerator.get_state_dict(self.model_wrapped)
        if not self.is_world_process_zero():
            return
        model = self.model
        if self.adapter is not None:
            model, weights = model.get_base_model(), merge_adapter(weights, self.adapter)
        config, trained_with_cache = model.config, model.config.use_cache
        config.use_cache = True  # the Trainer turns it off, and generation would crawl without it
        model.save_pretrained(directory, state_dict=weights, max_shard_size=_ONE_SHARD)
        config.use_cache = trained_with_cache
        self.tokenizer.save_pretrained(directory)
        make_readable(directory)
        flush_tree(directory)

    def forget_step(self) -> list[int]:
        """Return the rows that this rank took in the step that has ended, and forget them."""
        rows, self._step_rows = self._step_rows, []
        return rows

    def no_number(self) -> str:
        """Return what of the step that has ended is not a number on this rank, "" for nothing."""
        if not torch.isfinite(self._tally.loss):
            return "loss"
        return "" if math.isfinite(self._gradient_norm or 0.0) else "gradient"

    def _get_train_sampler(self, *_: Any, **__: Any) -> RowOrder | None:
        return self._order

    def _get_grad_norm(self, model: torch.nn.Module, grad_norm: Any = None) -> Any:
        norm = super()._get_grad_norm(model, grad_norm=grad_norm)
        self._gradient_norm = None if norm is None else float(norm)
        return norm

    def _record(self, metrics: dict[str, float]) -> None:
        step, loss = self.state.global_step, metrics["eval_loss"]
        self._check_evaluation(step, loss)
        losses, tokens = self._gather_tallies()
        row = {
            "step": step,
            "epoch": self.state.epoch,
            "tokens": sum(tokens),
            "train_loss": float(np.mean(losses)) / (step - self._tally.first_step),
            "eval_loss": loss,
            "perplexity": metrics["eval_perplexity"],
            "learning_rate": self.learning_rate,
            "gradient_norm": self._gradient_norm,
            **self.speed.rates(sum(tokens), self.args.world_size),
        }
        # A tracker gets the rest of the row from the Trainer.
        rates = {name: row[name] for name in ("tokens", "tokens_per_second", "mfu")}
        self.log({name: rate for name, rate in rates.items() if rate is not None})
        self._tally.loss.zero_()
        self._tally.first_step = step
        best = self.history.add(row)
        if best:
            self._write_best(step)
        if self.is_world_process_zero():
            message = "step %d: train loss %.4f, evaluation loss %.4f, perplexity %.4f%s"
            shown = (row["train_loss"], loss, row["perplexity"], " (best so far)" if best else "")
            logger.info(message, step, *shown)

    def _check_evaluation(self, step: int, loss: float) -> None:
        limit = _DIVERGED * math.log(self.model.config.vocab_size)
        if not loss <= limit:
            raise InputError(
                f"training diverged: the evaluation loss at step {step} is {loss:.4g}, where "
                f"guessing gives {limit / _DIVERGED:.4g}, with a learning rate of "
                f"{self.learning_rate:.3g}; lower training.learning_rate or raise "
                "training.warmup_ratio"
            )

    def _gather_tallies(self) -> tuple[list[float], list[int]]:
        """Return every rank's summed loss and tokens (all ranks must call)."""
        own = torch.stack([self._tally.loss.double(), self._tally.loss.new_tensor(0.0).double()])
        own[1] = self._tally.tokens
        rows = self.accelerator.gather(own[None]).tolist()
        return [row[0] for row in rows], [int(row[1]) for row in rows]

    def _write_best(self, step: int) -> None:
        """Write weights that are the best so far; what the last state counts on stays."""
        self.write_checkpoint(best_directory(self.output, step))
        if self.is_world_process_zero():
            remove_all_but(self.output, {step, self._kept_best})

    def _save_checkpoint(self, model: torch.nn.Module, trial: Any) -> None:
        """Write the state and declare it complete when the parts of all ranks are on the disk."""
        self.speed.stop()
        step, started = self.state.global_step, time.monotonic()
        state = self.output / f"{PREFIX_CHECKPOINT_DIR}-{step}"
        super()._save_checkpoint(model, trial)
        self.accelerator.wait_for_everyone()
        if self.args.local_process_index == 0:  # what ranks wrote may lie in their node's memory
            flush_tree(state)
        losses, tokens = self._gather_tallies()  # a barrier, too
        self._kept_best = self.history.best_step
        self.speed.start()
        if not self.is_world_process_zero():
            return
        content = {
            "history": self.history.rows,
            "first_step": self._tally.first_step,
            "losses": losses,
            "tokens": tokens,
            "seconds": self.speed.seconds,
            "wall_seconds": self.wall_seconds(),
        }
        complete_state(state, content)
        remove_all_but(self.output, {self._kept_best})
        logger.info("step %d: state kept in %.1f s", step, time.monotonic() - started)

    def _restore(self, state: Path) -> None:
        """Take up what the state says beside the Trainer's own files."""
        content, rank = read_state(state), self.args.process_index
        self.history.rows[:] = content["history"]
        self._kept_best = self.history.best_step
        self._tally.loss.fill_(content["losses"][rank])
        self._tally.first_step = content["first_step"]
        self._tally.tokens = content["tokens"][rank]
        self.speed.seconds = content["seconds"]
        self._earlier_seconds = content["wall_seconds"]
        logger.info("going on from the state in %s", state)


def _weigh_by_tokens(rows: EvalPrediction) -> dict[str, float]:
    """Return the loss per target token over the whole evaluation set, and its perplexity."""
    loss = float(np.sum(rows.predictions) / np.sum(rows.label_ids))
    return {"loss": loss, "perplexity": math.exp(loss) if loss < 700 else math.inf}


class Steps(TrainerCallback):
    """Tells the trainer where it is; stops all ranks at a loss or gradient that is no number."""

    def __init__(self, trainer: "CheckpointingTrainer") -> None:
        self._trainer = trainer

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Start the clock."""
        self._trainer.begin_steps()

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Choose the order of the epoch; a resumed training is somewhere within one."""
        self._trainer.begin_epoch(int(state.epoch or 0))

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Raise LossError with the step's rows when its loss or its gradient is not finite.

        By then DeepSpeed has left such a step out, without a word of it to the Trainer, and without
        DeepSpeed the weights are lost: nothing may be kept of them.
        """
        rows = self._trainer.forget_step()
        found = largest(_NO_NUMBER.index(self._trainer.no_number()), args.device)
        if found:
            rate = self._trainer.learning_rate
            raise LossError(_NO_NUMBER[found], state.global_step, rate, gather_lists(rows))


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
        left = duration((state.max_steps - state.global_step) / rate)
        message = "step %d of %d, %.2f steps/s, %s left"
        logger.info(message, state.global_step, state.max_steps, rate, left)


def duration(seconds: float) -> str:
    """Return a time as people read it, in its two largest units."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
