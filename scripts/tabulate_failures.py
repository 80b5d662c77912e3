"""Count why extractive answers fail, from the labelled sheets or from the machine's guesses."""

from pathlib import Path

from reset_tuning.jobs import listed, run


def main(*, key: Path, table: Path, labels: Path, returned: Path | list[Path] = ()) -> None:
    from reset_tuning.scoring.failures import tabulate_failures

    tabulate_failures(key, listed(returned), table, labels)


if __name__ == "__main__":
    run(main, snakemake)
