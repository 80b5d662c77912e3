"""Train one run with one seed through torchrun and keep its best and last checkpoints."""

import json
import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reset_tuning.files import atomic_path, flush
from reset_tuning.jobs import listed
from reset_tuning.jobs import run as run_script
from reset_tuning.planning.preflight import require_for_training
from reset_tuning.training.checkpoints import MODEL_FILES, publish
from reset_tuning.training.launch import LaunchCommand, launch, launch_command
from reset_tuning.training.provenance import describe_training, training_identity
from reset_tuning.training.settings import Launch, TrainingJob
from reset_tuning.training.state import (
    close_directory,
    is_finished,
    is_worth_keeping,
    read_starts,
)
from reset_tuning.training.tenure import is_published, sole_trainer


def main(
    *,
    settings: Path,
    train: Path,
    validation: Path,
    base: list[Path],
    history: Path,
    provenance: Path,
    run: str,
    seed: int,
    base_path: str,
    deepspeed: Path | list[Path],  # none without DeepSpeed
    resources: dict[str, Any],
    **weights: Path,  # best_model, best_config, …, last_tokenizer_config
) -> None:
    output = history.parent / "trainer"
    job = TrainingJob(
        settings=str(settings),
        train=str(train),
        validation=str(validation),
        base=base_path,
        run=run,
        seed=seed,
        output=str(output),
        launch=Launch.of(resources),
    )
    command = launch_command(job)
    logging.info("%s", command)  # first of all: whatever comes next, it can be pasted
    if not is_finished(output):  # else its files have only to be put in place
        gpus, cpu_ranks = resources["gpu"] // job.launch.nodes, job.launch.cpu_ranks
        require_for_training(base_path, settings, output, gpus=gpus, cpu_ranks=cpu_ranks)
    identity = training_identity(job, [*base, *listed(deepspeed)])
    with sole_trainer(history.parent / ".claims") as gave_way:
        if gave_way and is_published(provenance, identity):
            logging.info("the job that was asked to give way had just put this training in place")
            return
        report = trained(job, command, identity)
        publish({output / "history.csv": history} | finished_files(output, weights))
        content = describe_training(identity, report, read_starts(output))
        with atomic_path(provenance) as temporary:
            temporary.write_text(json.dumps(content, indent=2) + "\n")
            flush(temporary)
        close_directory(output)


def trained(
    job: TrainingJob, command: LaunchCommand, identity: Mapping[str, Any]
) -> dict[str, Any]:
    """Train and return the report; a failure leaves the folder only where it is worth keeping."""
    try:
        return launch(job, command, identity)
    except BaseException:
        if not is_worth_keeping(Path(job.output)):
            shutil.rmtree(job.output, ignore_errors=True)
        raise


def finished_files(output: Path, weights: Mapping[str, Path]) -> dict[Path, Path]:
    """Return where each file of the two checkpoints belongs, by where the training left it."""
    return {
        output / checkpoint / file: weights[f"{checkpoint}_{name}"]
        for checkpoint in ("best", "last")
        for name, file in MODEL_FILES.items()
    }


if __name__ == "__main__":
    run_script(main, snakemake)
