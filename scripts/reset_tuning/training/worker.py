"""What every rank of a training does: encode, load, train or go on, write the last weights."""

import gc
import logging
import os
import socket
import time
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reset_tuning.environment import visible_gpus
from reset_tuning.errors import InputError
from reset_tuning.loading import loading
from reset_tuning.planning.models import check_positions
from reset_tuning.seeds import draw_seed
from reset_tuning.tokenizing import load_tokenizer
from reset_tuning.training.checkpoints import best_directory, link_checkpoint
from reset_tuning.training.settings import (
    SCHEDULES,
    STOP_AT,
    BatchGeometry,
    RunSettings,
    TrainingJob,
    batch_geometry,
    read_settings,
)
from reset_tuning.training.state import complete_training

if TYPE_CHECKING:
    from transformers import (
        PretrainedConfig,
        PreTrainedModel,
        PreTrainedTokenizerBase,
        TrainingArguments,
    )

    from reset_tuning.training.interruption import Interruption
    from reset_tuning.training.trainer import CheckpointingTrainer

logger = logging.getLogger(__name__)

_WAIT_SECONDS = 0.2
_GC_THRESHOLD = 100_000  # what imports and loading make stays; to look it through costs a tenth
_LOGGING_STEPS = 10  # between two points of a tracker's training curves


def train(job: TrainingJob) -> None:
    """Carry out one rank's part; rank 0 leaves best/, last/, history.csv and report.json in output.

    Must run under torchrun. Raises InputError for settings, rows or weights that cannot be used,
    for a loss or a gradient that is not a number, and after a stop: then the state is complete and
    the same command goes on from it.
    """
    started = time.monotonic()
    gc.set_threshold(_GC_THRESHOLD)
    settings = read_settings(Path(job.settings))
    rank, ranks = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    geometry = batch_geometry(settings.training, job.launch.micro_batch_size, ranks)
    check_gpus(job.launch.nodes)
    tokenizer = load_tokenizer(job.base)
    _silence_bars()
    _encode_once(job, settings, tokenizer, rank)
    _limit_threads(max(1, job.launch.threads // int(os.environ["LOCAL_WORLD_SIZE"])))

    from reset_tuning.training.distributed import process_group

    with process_group(with_deepspeed=settings.training.deepspeed is not None) as accelerator:
        config = load_config(job.base, tokenizer, settings.max_length)
        arguments = _training_arguments(job, settings, geometry, config, accelerator)
        interruption = _interruption(job)
        trainer = _build_trainer(job, settings, tokenizer, arguments, interruption)
        trainer.started = started
        gc.freeze()  # a second each time that accelerate or DeepSpeed collects garbage
        _train(job, trainer)
        if interruption.reason is None:
            _finish(job, trainer, geometry)
    if interruption.reason is not None:
        raise InputError(
            f"training was stopped by {interruption.reason} after step "
            f"{trainer.state.global_step} of {trainer.state.max_steps}; its state is kept in "
            f"{job.output}, and the same command goes on from there"
        )


def check_gpus(nodes: int) -> None:
    """Raise InputError where this node has fewer GPUs than ranks: the launcher saw the first only.

    It says so by DS_ACCELERATOR when it has found none there and trains on CPUs.
    """
    if nodes == 1 or os.environ.get("DS_ACCELERATOR") == "cpu":
        return
    seen, ranks = visible_gpus(), int(os.environ["LOCAL_WORLD_SIZE"])
    if seen < ranks:
        raise InputError(
            f"the node {socket.gethostname()} sees {seen} of the {ranks} GPUs that the first node "
            "of this training has: look at nvidia-smi there and at the job's allocation"
        )


def _interruption(job: TrainingJob) -> "Interruption":
    from reset_tuning.training.interruption import Interruption

    stop_at = os.environ.get(STOP_AT)
    return Interruption(job.launch.resume_minutes, None if stop_at is None else float(stop_at))


def _train(job: TrainingJob, trainer: "CheckpointingTrainer") -> None:
    """Train to the end or to a stop; tell which examples made a loss or gradient no number."""
    from reset_tuning.training.trainer import LossError

    try:
        trainer.train_from_last_state()
    except LossError as error:
        examples = _example_ids(Path(job.train), error.rows)
        raise InputError(
            f"training diverged: the {error.what} of step {error.step} is not a number, with a "
            f"learning rate of {error.learning_rate:.3g} on the examples {examples}; lower "
            "training.learning_rate, or look at those rows"
        ) from error


def _example_ids(table: Path, rows: list[int]) -> str:
    import pyarrow.parquet as pq

    ids = pq.read_table(table, columns=["example_id"])["example_id"]
    return ", ".join(ids[row].as_py() for row in rows)


def _silence_bars() -> None:
    """Turn off progress bars: they fill a log, and the training logs its own progress."""
    import datasets
    from transformers.utils import logging as transformers_logging

    datasets.disable_progress_bars()
    transformers_logging.disable_progress_bar()


def _limit_threads(threads: int) -> None:
    import torch

    torch.set_num_threads(threads)


def load_config(
    base: str, tokenizer: "PreTrainedTokenizerBase", max_length: int
) -> "PretrainedConfig":
    """Return the base's config; raise InputError for one that cannot read all tokens or rows."""
    from transformers import AutoConfig

    with loading(f"the config of the base {base}"):
        config = AutoConfig.from_pretrained(base)
    if len(tokenizer) > config.vocab_size:
        raise InputError(
            f"the base {base} has {config.vocab_size} embeddings, fewer than the {len(tokenizer)} "
            "tokens of its tokenizer"
        )
    positions = getattr(config.get_text_config(), "max_position_embeddings", None)
    check_positions(f"the base {base}", positions, max_length)
    return config


def _encode_once(
    job: TrainingJob, settings: RunSettings, tokenizer: "PreTrainedTokenizerBase", rank: int
) -> None:
    """Let rank 0 encode both tables while the others wait for a file.

    A barrier would do, but on GPUs its timeout is shorter than encoding a large mixture may take.
    """
    from reset_tuning.training.encoding import Encoder, encode_file

    done = Path(job.output) / "encoded"
    n_evaluated = settings.training.evaluation_examples
    if rank == 0 and not done.exists():
        for stale in Path(job.output).glob("*.arrow"):  # of a job that was killed while encoding
            stale.unlink()
        encoder = Encoder(tokenizer, settings.max_length)
        tables = {"train": (job.train, None), "validation": (job.validation, n_evaluated)}
        for name, (table, most) in tables.items():
            encode_file(Path(table), encoder, _cache(job, name), job.launch.threads, most)
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
        deepspeed=training.deepspeed
        and deepspeed_config(Path(training.deepspeed), shape=model_shape(config), on_gpu=on_gpu),
        use_cpu=not on_gpu,
        bf16=settings.dtype == "bfloat16",
        activation_checkpointing=job.launch.gradient_checkpointing,
        num_train_epochs=training.epochs,
        per_device_train_batch_size=geometry.micro_batch_size,
        gradient_accumulation_steps=geometry.accumulation_steps,
        per_device_eval_batch_size=job.launch.evaluation_batch_size,
        eval_strategy="steps",
        eval_steps=training.evaluation_steps,
        save_strategy="no",  # CheckpointingTrainer writes weights, Interruption asks for states
        logging_strategy="no" if job.launch.report_to == "none" else "steps",
        logging_steps=_LOGGING_STEPS,
        logging_nan_inf_filter=False,  # a loss that is not finite must be seen
        optim="adamw_torch",
        learning_rate=training.learning_rate,
        weight_decay=training.weight_decay,
        max_grad_norm=training.gradient_clipping,
        lr_scheduler_type=SCHEDULES[training.schedule],
        warmup_steps=training.warmup_ratio,  # below 1 it is a share of all steps
        seed=seed,
        data_seed=seed,
        dataloader_pin_memory=on_gpu,
        remove_unused_columns=False,
        report_to=[job.launch.report_to],
        run_name=f"{job.run}-seed-{job.seed}",
        disable_tqdm=True,
        log_level="warning",
    )


def _build_trainer(
    job: TrainingJob,
    settings: RunSettings,
    tokenizer: "PreTrainedTokenizerBase",
    arguments: "TrainingArguments",
    interruption: "Interruption",
) -> "CheckpointingTrainer":
    """Load the base's weights, partitioned as they are read, and the encoded rows."""
    from reset_tuning.training.encoding import (
        collate,
        load_encoded,
        pack,
        row_lengths,
        with_filler,
    )
    from reset_tuning.training.order import RowOrder
    from reset_tuning.training.trainer import CheckpointingTrainer

    model = load_model(job.base, settings)
    if settings.training.adapter is not None:
        from reset_tuning.training.adapter import add_adapter

        model = add_adapter(model, settings.training.adapter, arguments.seed)
    padding = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    padded = partial(collate, pad_token_id=padding)
    rows = load_encoded(_cache(job, "train"))
    lengths, training, ranks = row_lengths(rows), settings.training, arguments.world_size
    if len(rows) < training.global_batch_size and arguments.process_index == 0:
        message = "only %d rows to train on, fewer than one global batch of %d: one step an epoch"
        logger.warning(message, len(rows), training.global_batch_size)
    return CheckpointingTrainer(
        model=model,
        args=arguments,
        tokenizer=tokenizer,
        output=Path(job.output),
        adapter=settings.training.adapter,
        lengths=dict(zip(rows["row"], lengths, strict=True)),
        order=RowOrder(
            lengths,
            training.global_batch_size,
            arguments.seed,
            grouped=training.group_by_length,
            # A rank that is alone takes a smaller micro-batch at the end.
            round_size=1 if ranks == 1 else ranks * arguments.per_device_train_batch_size,
        ),
        callbacks=[interruption],
        train_dataset=with_filler(rows),
        eval_dataset=load_encoded(_cache(job, "validation"), by_length=True),
        data_collator=pack if training.packing else padded,
        evaluation_collator=padded,
    )


def load_model(base: str, settings: RunSettings) -> "PreTrainedModel":
    """Return the base's weights, partitioned as they are read.

    It must be called after TrainingArguments, which announce ZeRO-3: no rank then holds them
    whole. Raises InputError for a folder whose weights are not those of its config.json:
    transformers would fill the gaps with random numbers, and leave out what it has no place for.
    """
    import torch
    from transformers import AutoModelForCausalLM

    try:
        with loading(f"the weights of the base {base}"):
            model, loaded = AutoModelForCausalLM.from_pretrained(
                base,
                dtype=getattr(torch, settings.dtype),
                attn_implementation=settings.attention,
                output_loading_info=True,
            )
    except RuntimeError as error:
        if "mismatch" not in str(error):
            raise
        raise InputError(f"the weights of the base {base} do not fit its config.json") from error
    # Buffers of old checkpoints (rotary_emb.inv_freq) are not among the unexpected ones.
    for keys, what in (("missing_keys", "missing"), ("unexpected_keys", "left over")):
        if names := sorted(loaded[keys]):
            raise InputError(
                f"the weights of the base {base} are those of another model than its config.json: "
                f"{len(names)} parameters are {what}, {names[0]} for one"
            )
    return model


def _finish(job: TrainingJob, trainer: "CheckpointingTrainer", geometry: BatchGeometry) -> None:
    """Write the last weights and the history, then the report: its presence means finished."""
    output, best_step = Path(job.output), trainer.history.best_step
    best_is_last = best_step == trainer.state.global_step
    if not best_is_last:
        trainer.write_checkpoint(output / "last")
    if not trainer.is_world_process_zero():
        return
    best = best_directory(output, best_step)
    link_checkpoint(best, output / "best")
    if best_is_last:
        link_checkpoint(best, output / "last")
    _write_history(job, trainer)
    complete_training(output, _report(trainer, geometry))


def _write_history(job: TrainingJob, trainer: "CheckpointingTrainer") -> None:
    import pandas as pd

    from reset_tuning.tables import write_table

    rows = [{"run": job.run, "seed": job.seed, **row} for row in trainer.history.rows]
    write_table(pd.DataFrame(rows), Path(job.output) / "history.csv", "history")


def _report(trainer: "CheckpointingTrainer", geometry: BatchGeometry) -> dict[str, Any]:
    """Return what only the worker knows of its run, for provenance.json."""
    import torch

    seconds, tokens = trainer.speed.seconds, trainer.history.rows[-1]["tokens"]
    wall, on_gpu = trainer.wall_seconds(), torch.cuda.is_available()
    return {
        "device": torch.cuda.get_device_name() if on_gpu else "cpu",
        "geometry": asdict(geometry),
        "zero_stage": 3 if trainer.is_deepspeed_enabled else None,
        "steps": trainer.state.global_step,
        "best_step": trainer.history.best_step,
        "base_commit": getattr(trainer.model.config, "_commit_hash", None),
        "train_rows": len(trainer.lengths),
        "train_tokens": tokens,
        "training_seed": trainer.args.seed,
        "train_seconds": round(seconds, 3),
        "wall_seconds": round(wall, 3),
        "peak_memory_gib": round(torch.cuda.max_memory_allocated() / 2**30, 2) if on_gpu else None,
        "gpu_seconds": round(wall * geometry.ranks, 3) if on_gpu else 0.0,
        "tokens_per_second": round(tokens / seconds, 1),
    }
