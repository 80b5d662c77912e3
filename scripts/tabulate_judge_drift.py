"""Compare the first and the last ratings that each judge gave to the canaries."""

from pathlib import Path

from reset_tuning.jobs import run


def main(*, judgments: Path | list[Path], table: Path, judges: list[str], records: str) -> None:
    # `judgments` make the rule run after the judges; the canaries' ratings are in the records.
    from reset_tuning.judging.canaries import tabulate_drift

    tabulate_drift(judges, Path(records), table)


if __name__ == "__main__":
    run(main, snakemake)
