"""Train one run with one seed through torchrun and keep its best and last checkpoints."""

import json
from pathlib import Path

from reset_tuning.files import atomic_path
from reset_tuning.jobs import run as run_script
from reset_tuning.training.checkpoints import MODEL_FILES, private_directory, publish
from reset_tuning.training.launch import launch
from reset_tuning.training.provenance import describe_training
from reset_tuning.training.settings import TrainingJob


def main(
    *,
    settings: Path,
    train: Path,
    validation: Path,
    base: list[Path],
    deepspeed: Path,
    history: Path,
    provenance: Path,
    run: str,
    seed: int,
    base_path: str,
    cpu_ranks: int,
    threads: int = 1,
    **weights: Path,  # best_model, best_config, …, last_tokenizer_config
) -> None:
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
        report = launch(job, cpu_ranks)
        record = describe_training(job, report, [*base, deepspeed])
        finished = {output / "history.csv": history}
        for checkpoint in ("best", "last"):
            for name, file in MODEL_FILES.items():
                finished[output / checkpoint / file] = weights[f"{checkpoint}_{name}"]
        publish(finished)
    with atomic_path(provenance) as temporary:
        temporary.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    run_script(main, snakemake)
