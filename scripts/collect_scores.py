"""Collect all scores into metrics/scores.csv, every generation counted or excluded under a name."""

from pathlib import Path

from reset_tuning.jobs import run
from reset_tuning.stats.accounting import collect, read_datasets, read_outputs
from reset_tuning.tables import write_table


def main(
    *,
    scores: list[Path],
    generations: list[Path],
    examples: list[Path],
    table: Path,
    seen: list[str],
) -> None:
    outputs = read_outputs(generations, read_datasets(examples, seen))
    write_table(collect(scores, outputs), table, "scores")


if __name__ == "__main__":
    run(main, snakemake)
