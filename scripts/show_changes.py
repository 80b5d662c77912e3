"""Write one example of what a pipeline's second stage changes, before and after."""

from pathlib import Path

from reset_tuning.files import atomic_path
from reset_tuning.jobs import run
from reset_tuning.stats.averages import Headlines
from reset_tuning.stats.qualitative import change_document, find_change
from reset_tuning.tables import read_table


def main(
    *,
    scores: Path,
    before: Path,
    after: Path,
    examples: list[Path],
    document: Path,
    family: str,
    seed: int,
    title: str,
    systems: list[str],
    faithfulness: dict[str, str],
    task: dict[str, str],
    judge: str,
) -> None:
    headlines = Headlines(judge, faithfulness, task)
    rows = read_table(scores, "example_score")
    change = find_change(rows, (before, after), examples, headlines, family, seed)
    with atomic_path(document) as temporary:
        temporary.write_text(change_document(change, title, (systems[0], systems[1])))


if __name__ == "__main__":
    run(main, snakemake)
