"""Compare every test set with every training set: equal and near-equal texts, shared n-grams."""

from pathlib import Path
from typing import Any

from reset_tuning.data.contamination import overlap_report
from reset_tuning.data.overlaps import Similarity
from reset_tuning.jobs import run
from reset_tuning.tables import write_table


def main(
    *,
    tests: list[Path],
    dropped: list[Path],
    training: list[Path],
    table: Path,
    datasets: list[str],
    near_duplicates: dict[str, Any],
) -> None:
    by_test_set = dict(zip(datasets, dropped, strict=True))
    similarity = Similarity.of(near_duplicates)
    write_table(overlap_report(tests, by_test_set, training, similarity), table, "overlaps")


if __name__ == "__main__":
    run(main, snakemake)
