"""Compare the parser with stored ratings of real replies, and GPT-4 and people with people."""

from pathlib import Path

from reset_tuning.jobs import run


def main(*, parsing: Path, agreement: Path, folder: str) -> None:
    from reset_tuning.judging.agreement import tabulate_agreement, tabulate_parsing

    tabulate_parsing(Path(folder), parsing)
    tabulate_agreement(Path(folder), agreement)


if __name__ == "__main__":
    run(main, snakemake)
