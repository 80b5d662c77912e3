"""Draw the rejection-sampling pool: several outputs for each of a random part of the examples."""

from pathlib import Path
from typing import Any

from reset_tuning.jobs import run as run_job


def main(*, pool: Path, samples: Path, resources: dict[str, Any], **job: Any) -> None:
    from reset_tuning.planning.preflight import require_for_engine
    from reset_tuning.sampling.engines import Means
    from reset_tuning.sampling.generation import generation_job, sample_outputs

    require_for_engine(job, gpus=resources["gpu"], cpu_ranks=resources["cpu_ranks"])
    wanted = generation_job(means=Means.of(resources), **job)
    sample_outputs(wanted, pool, samples)


if __name__ == "__main__":
    run_job(main, snakemake)
