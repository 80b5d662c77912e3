"""Read the ratings in a judge's stored replies; costs seconds, never a paid call."""

from pathlib import Path

from reset_tuning.jobs import run


def main(
    *, judgments: Path, scores: Path, judge: str, scale: str, max_failure_share: str = "1.0"
) -> None:
    from reset_tuning.judging.parsing import parse_judgments

    parse_judgments(judgments, scores, judge, scale, float(max_failure_share))


if __name__ == "__main__":
    run(main, snakemake)
