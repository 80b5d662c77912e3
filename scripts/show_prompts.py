"""Write one full prompt of each dataset and the task instructions, as the paper's appendix does."""

from collections.abc import Sequence
from pathlib import Path

from reset_tuning.data.documents import prompt_document, task_table
from reset_tuning.data.prompts import PromptSettings, cutting_tokenizer
from reset_tuning.files import atomic_path
from reset_tuning.jobs import run


def main(
    *,
    examples: list[Path],
    prompts: list[Path],
    instructions: Path,
    tokenizer_path: str,
    template: dict[str, str],
    tasks: dict[str, str],
    task_entries: dict[str, dict[str, str]],
    task_datasets: dict[str, list[str]],
    max_length: int,
    reserved_tokens: int,
    seed: int,
    tokenizer_files: Sequence[Path] | Path = (),
) -> None:
    # `tokenizer_files` are inputs only: a model built here is read through its path.
    settings = PromptSettings(cutting_tokenizer(tokenizer_path), template, tasks, max_length)
    for source, document in zip(examples, prompts, strict=True):
        write(document, prompt_document(source, settings, reserved_tokens, seed))
    write(instructions, task_table(task_entries, task_datasets))


def write(path: Path, text: str) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    run(main, snakemake)
