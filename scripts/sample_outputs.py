"""Draw the rejection-sampling pool: several outputs for each of a random part of the examples."""

from pathlib import Path
from typing import Any

from reset_tuning.jobs import run as run_job


def main(
    *,
    pool: Path,
    samples: Path,
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
    from reset_tuning.sampling.generation import generation_job, sample_outputs

    require_for_engine(job, gpus=gpu, cpu_ranks=cpu_ranks)
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
    sample_outputs(wanted, pool, samples)


if __name__ == "__main__":
    run_job(main, snakemake)
