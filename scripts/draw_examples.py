"""Write the example browser: all systems' answers to some examples of every test set."""

from pathlib import Path
from typing import Any

from reset_tuning.jobs import run


def main(
    *,
    examples: list[Path],
    generations: list[Path],
    scores: list[Path],
    judgments: list[Path],
    page: Path,
    systems: list[dict[str, Any]],
    judge: str,
    faithfulness: dict[str, str],
    task: dict[str, str],
    seen: list[str],
    per_set: int,
    template: dict[str, str],
    tasks: dict[str, str],
) -> None:
    from reset_tuning.figures.examples import browser_page
    from reset_tuning.figures.pages import write_page
    from reset_tuning.stats.averages import Headlines

    text = browser_page(
        examples,
        generations,
        scores,
        judgments,
        systems,
        Headlines(judge, faithfulness, task),
        seen,
        per_set,
        template,
        tasks,
    )
    write_page(text, page)


if __name__ == "__main__":
    run(main, snakemake)
