"""Keep the best sample of each example, and as many examples of each set as the config asks for."""

from pathlib import Path
from typing import Any

from reset_tuning.jobs import listed, run


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

    chosen = Selection.of(selection, spec | {"judge": judge}, faithfulness, task, max_length)
    files = listed(scores)
    counter = token_counter(tokenizer_path)
    select_files(samples, pool, files, selected, ledger, chosen, int(seed), counter)


if __name__ == "__main__":
    run(main, snakemake)
