"""Train one run with one seed through torchrun and keep its best and last checkpoints."""

import json
import os
import time
from dataclasses import asdict
from pathlib import Path

from reset_tuning.files import atomic_path
from reset_tuning.jobs import run as run_script
from reset_tuning.training.launch import (
    build_command,
    build_environment,
    private_directory,
    publish,
    run_training,
    visible_gpus,
)
from reset_tuning.training.provenance import describe_training
from reset_tuning.training.settings import TrainingJob, batch_geometry, read_settings, write_job


def main(
    *,
    settings: Path,
    train: Path,
    validation: Path,
    base: list[Path],
    best_model: Path,
    best_config: Path,
    best_tokenizer: Path,
    best_tokenizer_config: Path,
    last_model: Path,
    last_config: Path,
    last_tokenizer: Path,
    last_tokenizer_config: Path,
    history: Path,
    provenance: Path,
    run: str,
    seed: int,
    base_path: str,
    cpu_ranks: int,
    threads: int = 1,
) -> None:
    gpus = visible_gpus()
    ranks = gpus or cpu_ranks
    resolved = read_settings(settings)
    batch_geometry(resolved.training, ranks)  # a batch that does not divide fails before torch loads
    started = time.monotonic()
    with private_directory(history.parent / "trainer") as output:
        job = TrainingJob(
            settings=str(settings),
            train=str(train),
            validation=str(validation),
            base=base_path,
            run=run,
            seed=seed,
            threads=threads,
            output=str(output),
        )
        environment = build_environment(
            os.environ, base=base_path, threads=threads, ranks=ranks, gpus=gpus
        )
        run_training(build_command(ranks, write_job(job)), environment, output)
        record = describe_training(
            run=run,
            seed=seed,
            base=base_path,
            inputs=[settings, train, validation, *base],
            settings=asdict(resolved),
            report=json.loads((output / "report.json").read_text()),
            wall_seconds=time.monotonic() - started,
        )
        publish(
            {
                output / "best" / "model.safetensors": best_model,
                output / "best" / "config.json": best_config,
                output / "best" / "tokenizer.json": best_tokenizer,
                output / "best" / "tokenizer_config.json": best_tokenizer_config,
                output / "last" / "model.safetensors": last_model,
                output / "last" / "config.json": last_config,
                output / "last" / "tokenizer.json": last_tokenizer,
                output / "last" / "tokenizer_config.json": last_tokenizer_config,
                output / "history.csv": history,
            }
        )
    with atomic_path(provenance) as temporary:
        temporary.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    run_script(main, snakemake)
