"""Read the ratings in a judge's stored replies; costs seconds, never a paid call."""

from pathlib import Path

from reset_tuning.jobs import run


def main(*, judgments: Path, scores: Path, judge: str, scale: str) -> None:
    from reset_tuning.judging.parsing import parse_judgments

    parse_judgments(judgments, scores, judge, scale)


if __name__ == "__main__":
    run(main, snakemake)
