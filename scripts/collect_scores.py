"""Collect all scores: metrics/scores.csv and, output by output, example_scores.parquet."""

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
    rows: Path,
    seen: list[str],
    order: list[str],
) -> None:
    outputs = read_outputs(generations, read_datasets(examples, seen))
    by_test_set, by_example = collect(scores, outputs, order)
    write_table(by_test_set, table, "scores")
    write_table(by_example, rows, "example_score")


if __name__ == "__main__":
    run(main, snakemake)
