"""Set the known numbers of the paper beside those of this run."""

from pathlib import Path

from reset_tuning.jobs import run
from reset_tuning.stats.published import published_vs_measured
from reset_tuning.tables import read_table, write_table


def main(
    *,
    published: Path,
    averages: Path,
    table: Path,
    systems: list[dict[str, str]],
    models: dict[str, str],
) -> None:
    known = read_table(published, "published")
    rows = published_vs_measured(known, read_table(averages, "averages"), systems, models)
    write_table(rows, table, "published_vs_measured")


if __name__ == "__main__":
    run(main, snakemake)
