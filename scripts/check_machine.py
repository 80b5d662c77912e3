"""Check that this machine can run the experiment: one line for each thing, and a clear verdict."""

from pathlib import Path
from typing import Any

from reset_tuning.jobs import run
from reset_tuning.planning.preflight import experiment_checks, tell


def main(*, config: dict[str, Any], results: str, gpu: int = 0, cpu_ranks: int = 0) -> None:
    tell(experiment_checks(config, Path(results), gpus=gpu, cpu_ranks=cpu_ranks))


if __name__ == "__main__":
    run(main, snakemake)
