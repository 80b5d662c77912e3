"""Ask an LLM judge about the outputs of instruction examples and store what it says, verbatim."""

from pathlib import Path
from typing import Any

from reset_tuning.jobs import run


def main(
    *,
    outputs: Path,
    examples: Path | list[Path],
    judgments: Path,
    judge: str,
    spec: dict[str, Any],
    prompt: dict[str, str],
    records: str,
    concurrency: int = 8,
) -> None:
    from reset_tuning.judging.client import Limits
    from reset_tuning.judging.query import query_judge

    examples = [examples] if isinstance(examples, Path) else examples
    query_judge(
        outputs, examples, judgments, judge, spec, prompt, Path(records), Limits(concurrency)
    )


if __name__ == "__main__":
    run(main, snakemake)
