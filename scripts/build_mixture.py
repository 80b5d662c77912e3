"""Build a training mixture from the examples of its datasets."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from reset_tuning.data.mixtures import (
    MixtureFiles,
    MixtureSpec,
    build_mixture,
    example_tables,
)
from reset_tuning.data.prompts import PromptSettings, cutting_tokenizer
from reset_tuning.jobs import listed, run
from reset_tuning.tables import write_table


def main(
    *,
    examples: list[Path] | Path,
    train: Path,
    validation: Path,
    ledger: Path,
    duplicates: Path,
    mixture: str,
    spec: dict[str, Any],
    tokenizer_path: str,
    template: dict[str, str],
    tasks: dict[str, str],
    max_length: int,
    seed: int,
    tokenizer_files: Sequence[Path] | Path = (),
) -> None:
    # `tokenizer_files` are inputs only: a model built here is read through its path.
    tables = example_tables(listed(examples))
    settings = PromptSettings(cutting_tokenizer(tokenizer_path), template, tasks, max_length)
    files = MixtureFiles(train, validation, {"mixture": mixture, "tokenizer": tokenizer_path})
    counts = build_mixture(mixture, tables, MixtureSpec.of(mixture, spec), settings, seed, files)
    write_table(counts.ledger, ledger, "ledger")
    write_table(counts.duplicates, duplicates, "duplicates")


if __name__ == "__main__":
    run(main, snakemake)
