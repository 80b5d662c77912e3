"""Draw the rejection-sampling pool: several outputs for each of a random part of the examples."""

from pathlib import Path
from typing import Any

from reset_tuning.jobs import run as run_job


def main(
    *,
    pool: Path,
    samples: Path,
    run: str,
    seed: int,
    checkpoint: str,
    decoding: str,
    spec: dict[str, Any],
    model_path: str,
    dtype: str,
    attention: str,
    max_length: int,
    batch_tokens: int,
    sidecar: str,
    model: Path | list[Path] = (),
    threads: int = 1,
) -> None:
    from reset_tuning.sampling.generation import GenerationJob, sample_outputs

    job = GenerationJob(
        run=run,
        seed=seed,
        checkpoint=checkpoint,
        decoding=decoding,
        spec=spec,
        model=[model] if isinstance(model, Path) else model,
        model_path=model_path,
        dtype=dtype,
        attention=attention,
        max_length=max_length,
        batch_tokens=batch_tokens,
        sidecar=Path(sidecar),
        threads=threads,
    )
    sample_outputs(job, pool, samples)


if __name__ == "__main__":
    run_job(main, snakemake)
