"""Tabulate time, memory and money of every rule and run from the benchmark files."""

from pathlib import Path

from reset_tuning.jobs import run


def main(*, files: list[Path], table: Path, prices: dict[str, dict[str, float]]) -> None:
    from reset_tuning.provenance.costs import tabulate_cost

    tabulate_cost([path.as_posix() for path in files], table, prices)


if __name__ == "__main__":
    run(main, snakemake)
