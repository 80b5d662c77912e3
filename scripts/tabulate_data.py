"""Tabulate what every dataset gives: rows, roles, lengths, and where the answers stand."""

from collections.abc import Sequence
from pathlib import Path

from reset_tuning.data.prompts import PromptSettings, cutting_tokenizer
from reset_tuning.data.statistics import SplitFiles, data_stats, gold_positions
from reset_tuning.jobs import run
from reset_tuning.tables import write_table


def main(
    *,
    examples: list[Path],
    ledgers: list[Path],
    train: list[Path],
    validation: list[Path],
    stats: Path,
    positions: Path,
    tokenizer_path: str,
    template: dict[str, str],
    tasks: dict[str, str],
    max_length: int,
    reserved_tokens: int,
    seen: list[str],
    tokenizer_files: Sequence[Path] | Path = (),
) -> None:
    # `tokenizer_files` are inputs only: a model built here is read through its path.
    splits = [SplitFiles(*files) for files in zip(examples, ledgers, strict=True)]
    settings = PromptSettings(cutting_tokenizer(tokenizer_path), template, tasks, max_length)
    rows = data_stats(splits, train, validation, seen, settings, reserved_tokens)
    write_table(rows, stats, "data_stats", {"tokenizer": tokenizer_path})
    write_table(gold_positions(splits), positions, "gold_positions")


if __name__ == "__main__":
    run(main, snakemake)
