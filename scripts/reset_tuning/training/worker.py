"""What every rank of a training does: encode, load, train, write the best and last weights."""

import json
import logging
import os
import time
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reset_tuning.errors import InputError
from reset_tuning.seeds import draw_seed
from reset_tuning.training.checkpoints import link_checkpoint
from reset_tuning.training.launch import REPORT
from reset_tuning.training.settings import (
    SCHEDULES,
    BatchGeometry,
    RunSettings,
    TrainingJob,
    batch_geometry,
    read_settings,
)

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedTokenizerBase, TrainingArguments

    from reset_tuning.training.trainer import CheckpointingTrainer

logger = logging.getLogger(__name__)

_WAIT_SECONDS = 0.2


def train(job: TrainingJob) -> None:
    """Carry out one rank's part; rank 0 leaves best/, last/, history.csv and report.json in output.

    Must run under torchrun. Raises InputError for settings, rows or weights that cannot be used.
    """
    settings = read_settings(Path(job.settings))
    rank, ranks = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    geometry = batch_geometry(settings.training, ranks)
    tokenizer = _load_tokenizer(job.base)
    _silence_bars()
    _encode_once(job, settings, tokenizer, rank)
    _limit_threads(max(1, job.threads // int(os.environ["LOCAL_WORLD_SIZE"])))

    from reset_tuning.training.distributed import process_group

    with process_group() as accelerator_config:
        config = _load_config(job.base, tokenizer)
        arguments = _training_arguments(job, settings, geometry, config, accelerator_config)
        trainer = _build_trainer(job, settings, tokenizer, arguments)
        started = time.monotonic()
        trainer.train()
        _finish(job, trainer, geometry, time.monotonic() - started)


def _silence_bars() -> None:
    """Turn off progress bars: they fill a log, and the training logs its own progress."""
    import datasets
    from transformers.utils import logging as transformers_logging

    datasets.disable_progress_bars()
    transformers_logging.disable_progress_bar()


def _limit_threads(threads: int) -> None:
    import torch

    torch.set_num_threads(threads)


def _load_tokenizer(base: str) -> "PreTrainedTokenizerBase":
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(base)
    except (OSError, ValueError) as error:
        raise InputError(f"the tokenizer of the base {base} cannot be loaded: {error}") from error


def _load_config(base: str, tokenizer: "PreTrainedTokenizerBase") -> "PretrainedConfig":
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(base)
    except (OSError, ValueError) as error:
        raise InputError(f"the config of the base {base} cannot be loaded: {error}") from error
    if len(tokenizer) > config.vocab_size:
        raise InputError(
            f"the base {base} has {config.vocab_size} embeddings, fewer than the {len(tokenizer)} "
            "tokens of its tokenizer"
        )
    return config


def _encode_once(
    job: TrainingJob, settings: RunSettings, tokenizer: "PreTrainedTokenizerBase", rank: int
) -> None:
    """Let rank 0 encode both tables while the others wait for a file.

    A barrier would do, but on GPUs its timeout is shorter than encoding a large mixture may take.
    """
    from reset_tuning.training.encoding import Encoder, encode_file

    done = Path(job.output) / "encoded"
    if rank == 0:
        encoder = Encoder(tokenizer, settings.max_length)
        for name, table in (("train", job.train), ("validation", job.validation)):
            encode_file(Path(table), encoder, _cache(job, name), processes=job.threads)
        done.touch()
    while not done.exists():
        time.sleep(_WAIT_SECONDS)


def _cache(job: TrainingJob, name: str) -> Path:
    return Path(job.output) / f"{name}.arrow"


def _training_arguments(
    job: TrainingJob,
    settings: RunSettings,
    geometry: BatchGeometry,
    config: "PretrainedConfig",
    accelerator_config: dict[str, Any],
) -> "TrainingArguments":
    """Translate the run's settings into the Trainer's arguments, DeepSpeed's included."""
    import torch
    from transformers import TrainingArguments

    from reset_tuning.training.distributed import deepspeed_config, model_shape

    training, on_gpu = settings.training, torch.cuda.is_available()
    seed = draw_seed(job.seed, job.run, "training") % 2**32  # numpy takes 32 bits
    return TrainingArguments(
        output_dir=job.output,
        accelerator_config=accelerator_config,
        deepspeed=deepspeed_config(
            Path(training.deepspeed), shape=model_shape(config), on_gpu=on_gpu
        ),
        use_cpu=not on_gpu,
        bf16=settings.dtype == "bfloat16",
        activation_checkpointing=training.gradient_checkpointing,
        num_train_epochs=training.epochs,
        per_device_train_batch_size=geometry.micro_batch_size,
        gradient_accumulation_steps=geometry.accumulation_steps,
        per_device_eval_batch_size=training.evaluation_batch_size,
        eval_strategy="steps",
        eval_steps=training.evaluation_steps,
        save_strategy="no",  # the best and last weights are written by CheckpointingTrainer
        logging_strategy="no",
        logging_nan_inf_filter=False,  # a loss that is not finite must be seen, and costs no sync
        optim="adamw_torch",
        learning_rate=training.learning_rate,
        weight_decay=training.weight_decay,
        max_grad_norm=training.gradient_clipping,
        lr_scheduler_type=SCHEDULES[training.schedule],
        warmup_steps=training.warmup_ratio,  # below 1 it is a share of all steps
        seed=seed,
        data_seed=seed,
        dataloader_pin_memory=on_gpu,
        train_sampling_strategy="group_by_length" if training.group_by_length else "random",
        remove_unused_columns=False,
        report_to=[],
        disable_tqdm=True,
        log_level="warning",
    )


def _build_trainer(
    job: TrainingJob,
    settings: RunSettings,
    tokenizer: "PreTrainedTokenizerBase",
    arguments: "TrainingArguments",
) -> "CheckpointingTrainer":
    """Load the base's weights, partitioned as they are read, and the encoded rows."""
    import torch
    from transformers import AutoModelForCausalLM

    from reset_tuning.training.encoding import collate, load_encoded
    from reset_tuning.training.trainer import CheckpointingTrainer

    # After TrainingArguments: they announce ZeRO-3, and from_pretrained then never holds it whole.
    try:
        model = AutoModelForCausalLM.from_pretrained(
            job.base,
            dtype=getattr(torch, settings.dtype),
            attn_implementation=settings.attention,
        )
    except (OSError, ValueError, ImportError) as error:
        raise InputError(f"the weights of the base {job.base} cannot be loaded: {error}") from error
    padding = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    return CheckpointingTrainer(
        model=model,
        args=arguments,
        tokenizer=tokenizer,
        output=Path(job.output),
        train_dataset=load_encoded(_cache(job, "train")),
        eval_dataset=load_encoded(_cache(job, "validation"), by_length=True),
        data_collator=partial(collate, pad_token_id=padding),
    )


def _finish(
    job: TrainingJob, trainer: "CheckpointingTrainer", geometry: BatchGeometry, seconds: float
) -> None:
    """Write the last weights, the history and the report."""
    best_is_last = trainer.history.best_step == trainer.state.global_step
    if not best_is_last:
        trainer.write_checkpoint(Path(job.output) / "last")
    if not trainer.is_world_process_zero():
        return
    if best_is_last:
        link_checkpoint(Path(job.output) / "best", Path(job.output) / "last")
    _write_history(job, trainer)
    (Path(job.output) / REPORT).write_text(json.dumps(_report(trainer, geometry, seconds)))


def _write_history(job: TrainingJob, trainer: "CheckpointingTrainer") -> None:
    import pandas as pd

    from reset_tuning.tables import write_table

    rows = [{"run": job.run, "seed": job.seed, **row} for row in trainer.history.rows]
    write_table(pd.DataFrame(rows), Path(job.output) / "history.csv", "history")


def _report(
    trainer: "CheckpointingTrainer", geometry: BatchGeometry, seconds: float
) -> dict[str, Any]:
    """Return what only the worker knows of its run, for provenance.json."""
    import torch

    from reset_tuning.training.encoding import row_lengths

    tokens = round(sum(row_lengths(trainer.train_dataset)) * trainer.state.epoch)
    on_gpu = torch.cuda.is_available()
    return {
        "device": torch.cuda.get_device_name() if on_gpu else "cpu",
        "geometry": asdict(geometry),
        "zero_stage": 3,
        "steps": trainer.state.global_step,
        "best_step": trainer.history.best_step,
        "base_commit": getattr(trainer.model.config, "_commit_hash", None),
        "train_rows": len(trainer.train_dataset),
        "train_tokens": tokens,
        "train_seconds": round(seconds, 3),
        "tokens_per_second": round(tokens / seconds, 1),
    }
