"""Generate a checkpoint's outputs on every test set."""

from pathlib import Path
from typing import Any

from reset_tuning.jobs import run as run_job


def main(
    *,
    examples: Path | list[Path],
    generations: Path,
    template: dict[str, str],
    tasks: dict[str, str],
    batch_tokens: int,
    threads: int = 1,
    gpu: int = 0,
    cpu_ranks: int = 1,
    gpu_memory: str = "0.9",  # a resource is no fraction
    concurrency: int = 16,
    api_key_variable: str = "none",
    ready_minutes: int = 30,
    **job: Any,
) -> None:
    # Resources are passed only when they stand here by name.
    from reset_tuning.planning.preflight import require_for_engine
    from reset_tuning.sampling.generation import generate_outputs, generation_job

    require_for_engine(job, gpus=gpu, cpu_ranks=cpu_ranks)
    examples = [examples] if isinstance(examples, Path) else examples
    wanted = generation_job(
        batch_tokens=batch_tokens,
        threads=threads,
        cpu_ranks=cpu_ranks,
        gpu_memory=float(gpu_memory),
        concurrency=concurrency,
        api_key_variable=api_key_variable,
        ready_minutes=ready_minutes,
        **job,
    )
    generate_outputs(wanted, examples, template, tasks, generations)


if __name__ == "__main__":
    run_job(main, snakemake)
