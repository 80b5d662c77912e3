"""Count why extractive answers fail, from the labelled sheets or from the machine's guesses."""

from pathlib import Path

from reset_tuning.jobs import run


def main(*, key: Path, table: Path, returned: Path | list[Path] = ()) -> None:
    from reset_tuning.scoring.failures import tabulate_failures

    tabulate_failures(key, [returned] if isinstance(returned, Path) else list(returned), table)


if __name__ == "__main__":
    run(main, snakemake)
