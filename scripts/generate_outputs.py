"""Generate a checkpoint's outputs on every test set."""

from pathlib import Path
from typing import Any

from reset_tuning.jobs import run as run_job


def main(
    *,
    examples: Path | list[Path],
    generations: Path,
    run: str,
    seed: int,
    checkpoint: str,
    decoding: str,
    spec: dict[str, Any],
    model_path: str,
    dtype: str,
    attention: str,
    template: dict[str, str],
    tasks: dict[str, str],
    max_length: int,
    batch_tokens: int,
    sidecar: str,
    model: Path | list[Path] = (),
    threads: int = 1,
) -> None:
    from reset_tuning.sampling.generation import GenerationJob, generate_outputs

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
    examples = [examples] if isinstance(examples, Path) else examples
    generate_outputs(job, examples, template, tasks, generations)


if __name__ == "__main__":
    run_job(main, snakemake)
