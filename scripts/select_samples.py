"""Keep the best sample of each example, and as many examples of each set as the config asks for."""

from pathlib import Path
from typing import Any

from reset_tuning.jobs import run


def main(
    *,
    samples: Path,
    pool: Path,
    scores: list[Path],
    tokenizer_files: list[Path],
    selected: Path,
    ledger: Path,
    selection: str,
    spec: dict[str, Any],
    judge: str,
    faithfulness: dict[str, str],
    task: dict[str, str],
    tokenizer_path: str,
    max_length: int,
    seed: int,
) -> None:
    from reset_tuning.selection import Selection, select_files, token_counter

    chosen = Selection(
        name=selection,
        judge=judge,
        pick=spec["pick"],
        per_set=spec["per_set"],
        weight=spec["weight"],
        across_examples=spec["across_examples"],
        faithfulness=faithfulness,
        task=task,
        max_length=max_length,
        cut_off=spec.get("cut_off", "keep"),
        ties=spec.get("ties", "temperature"),
    )
    files = [scores] if isinstance(scores, Path) else scores
    counter = token_counter(tokenizer_path)
    select_files(samples, pool, files, selected, ledger, chosen, int(seed), counter)


if __name__ == "__main__":
    run(main, snakemake)
