"""Count the judges' replies behind the tables, their tokens and their dollars."""

from pathlib import Path

from reset_tuning.jobs import listed, run


def main(
    *,
    generations: Path | list[Path],
    samples: Path | list[Path],
    table: Path,
    prices: dict[str, dict[str, float]],
) -> None:
    from reset_tuning.judging.costs import tabulate_costs

    files = {"generations": generations, "samples": samples}
    judgments = {stage: listed(paths) for stage, paths in files.items()}
    tabulate_costs(judgments, prices, table)


if __name__ == "__main__":
    run(main, snakemake)
