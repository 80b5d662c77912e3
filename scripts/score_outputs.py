"""Score outputs with one metric of the config: coverage and exact match, ROUGE-L, or SummaC-ZS."""

from pathlib import Path
from typing import Any

from reset_tuning.jobs import run


def main(
    *,
    outputs: Path,
    examples: Path | list[Path],
    scores: Path,
    metric: str,
    spec: dict[str, Any],
    model_path: str | None = None,
    threads: int = 1,
) -> None:
    from reset_tuning.scoring.scorers import score_outputs

    examples = [examples] if isinstance(examples, Path) else examples
    score_outputs(outputs, examples, scores, metric, spec, model_path or None, threads)


if __name__ == "__main__":
    run(main, snakemake)
