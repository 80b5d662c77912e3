"""The evaluation loss counts tokens, not rows or batches."""

import math
from functools import partial
from pathlib import Path

import pytest
import torch
from datasets import Dataset
from training_world import mixture_rows, tiny_llama, word_tokenizer
from transformers import TrainerControl, TrainerState, TrainingArguments

from reset_tuning.training.encoding import Encoder, collate
from reset_tuning.training.trainer import (
    CheckpointingTrainer,
    History,
    ProgressLines,
    duration,
)


def evaluate(folder: Path, batch_size: int) -> dict[str, float]:
    frame = mixture_rows(37, seed=2)
    encoded = Encoder(word_tokenizer(), 64)(frame.to_dict("list"))
    encoded["row"] = list(range(len(frame)))
    padded = partial(collate, pad_token_id=0)
    arguments = TrainingArguments(
        output_dir=str(folder),
        per_device_eval_batch_size=batch_size,
        use_cpu=True,
        report_to=[],
        remove_unused_columns=False,
        disable_tqdm=True,
    )
    trainer = CheckpointingTrainer(
        model=tiny_llama(),
        args=arguments,
        tokenizer=word_tokenizer(),
        output=folder,
        eval_dataset=Dataset.from_dict(encoded),
        data_collator=padded,
        evaluation_collator=padded,
    )
    return trainer.evaluate()


def by_hand() -> float:
    """Return the loss per token, one row at a time, from the model's own log-probabilities."""
    model, total, count = tiny_llama().eval(), 0.0, 0
    encoded = Encoder(word_tokenizer(), 64)(mixture_rows(37, seed=2).to_dict("list"))
    for ids, labels in zip(encoded["input_ids"], encoded["labels"], strict=True):
        with torch.no_grad():
            scores = model(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
        for position in range(1, len(ids)):
            if labels[position] >= 0:
                total -= float(scores[position - 1, labels[position]])
                count += 1
    return total / count


@pytest.mark.parametrize("batch_size", [1, 5, 64])
def test_evaluation_is_per_token_for_any_batch_size(tmp_path: Path, batch_size: int) -> None:
    metrics = evaluate(tmp_path, batch_size)
    assert metrics["eval_loss"] == pytest.approx(by_hand(), rel=1e-6)
    assert metrics["eval_perplexity"] == pytest.approx(math.exp(metrics["eval_loss"]))


def test_history_knows_the_earliest_best() -> None:
    history = History()
    losses = [3.0, 2.0, 2.0, 2.5]
    best = [history.add({"step": n, "eval_loss": loss}) for n, loss in enumerate(losses, 1)]
    assert best == [True, True, False, False]
    assert (history.best_step, history.best_loss) == (2, 2.0)


def test_progress_is_shown_every_ten_seconds_and_at_the_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    now = iter([0.0, 3.0, 11.0, 12.0, 20.0])
    lines = ProgressLines(clock=lambda: next(now))
    state = TrainerState(max_steps=40, is_world_process_zero=True)
    with caplog.at_level("INFO", logger="reset_tuning"):
        lines.on_train_begin(None, state, TrainerControl())
        for step in (6, 22, 24, 40):
            state.global_step = step
            lines.on_step_end(None, state, TrainerControl())
    assert [record.message for record in caplog.records] == [
        "training: 40 steps",
        "step 22 of 40, 2.00 steps/s, 9 s left",
        "step 40 of 40, 2.00 steps/s, 0 s left",
    ]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59.6, "1 min 0 s"), (754, "12 min 34 s"), (90_000, "25 h 0 min")],
)
def test_the_time_left_is_in_its_two_largest_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text
