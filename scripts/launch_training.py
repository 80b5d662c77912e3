"""Train one run with one seed through torchrun and keep its best and last checkpoints."""

import json
import logging
import shutil
from pathlib import Path

from reset_tuning.files import atomic_path, flush
from reset_tuning.jobs import run as run_script
from reset_tuning.planning.preflight import require_for_training
from reset_tuning.training.checkpoints import MODEL_FILES, publish
from reset_tuning.training.launch import launch, launch_command
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
    micro_batch_size: int,
    evaluation_batch_size: int,
    gradient_checkpointing: int,
    deepspeed: Path | list[Path],  # none without DeepSpeed
    cpu_ranks: int = 1,
    nodes: int = 1,
    gpu: int = 0,
    threads: int = 1,
    runtime: float = 0,
    resume_minutes: float = 30,
    report_to: str = "none",
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
        launch=Launch(
            micro_batch_size=micro_batch_size,
            evaluation_batch_size=evaluation_batch_size,
            gradient_checkpointing=bool(gradient_checkpointing),
            cpu_ranks=cpu_ranks,
            nodes=nodes,
            threads=threads,
            runtime=runtime,
            resume_minutes=resume_minutes,
            report_to=report_to,
        ),
    )
    zero = [deepspeed] if isinstance(deepspeed, Path) else deepspeed
    command = launch_command(job)
    logging.info("%s", command)  # first of all: whatever comes next, it can be pasted
    if not is_finished(output):  # else its files have only to be put in place
        require_for_training(base_path, settings, output, gpus=gpu // nodes, cpu_ranks=cpu_ranks)
    identity = training_identity(job, [*base, *zero])
    with sole_trainer(history.parent / ".claims") as gave_way:
        if gave_way and is_published(provenance, identity):
            logging.info("the job that was asked to give way had just put this training in place")
            return
        try:
            report = launch(job, command, identity)
        except BaseException:
            if not is_worth_keeping(output):
                shutil.rmtree(output, ignore_errors=True)
            raise
        finished = {output / "history.csv": history}
        for checkpoint in ("best", "last"):
            for name, file in MODEL_FILES.items():
                finished[output / checkpoint / file] = weights[f"{checkpoint}_{name}"]
        publish(finished)
        content = describe_training(identity, report, read_starts(output))
        with atomic_path(provenance) as temporary:
            temporary.write_text(json.dumps(content, indent=2) + "\n")
            flush(temporary)
        close_directory(output)


if __name__ == "__main__":
    run_script(main, snakemake)
