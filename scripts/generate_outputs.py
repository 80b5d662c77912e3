"""Generate a checkpoint's outputs on every test set."""

from pathlib import Path
from typing import Any

from reset_tuning.jobs import listed
from reset_tuning.jobs import run as run_job


def main(
    *,
    examples: Path | list[Path],
    generations: Path,
    template: dict[str, str],
    tasks: dict[str, str],
    resources: dict[str, Any],
    **job: Any,
) -> None:
    from reset_tuning.planning.preflight import require_for_engine
    from reset_tuning.sampling.engines import Means
    from reset_tuning.sampling.generation import generate_outputs, generation_job

    require_for_engine(job, gpus=resources["gpu"], cpu_ranks=resources["cpu_ranks"])
    examples = listed(examples)
    wanted = generation_job(means=Means.of(resources), **job)
    generate_outputs(wanted, examples, template, tasks, generations)


if __name__ == "__main__":
    run_job(main, snakemake)
