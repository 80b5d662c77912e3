"""Make a model from nothing: random weights and a tokenizer trained on the examples' text."""

from pathlib import Path
from typing import Any

from reset_tuning.files import work_folder
from reset_tuning.jobs import run
from reset_tuning.training.checkpoints import MODEL_FILES, publish
from reset_tuning.training.initialise import (
    InitialModel,
    example_texts,
    train_tokenizer,
    write_initial_model,
)


def main(
    *,
    examples: list[Path],
    config: Path,
    model: Path,
    tokenizer: Path,
    tokenizer_config: Path,
    spec: dict[str, Any],
) -> None:
    sizes = InitialModel(**spec)
    outputs = {
        "model": model,
        "config": config,
        "tokenizer": tokenizer,
        "tokenizer_config": tokenizer_config,
    }
    with work_folder(model) as directory:
        write_initial_model(
            sizes, train_tokenizer(example_texts(examples), sizes.vocabulary), directory
        )
        publish({directory / MODEL_FILES[name]: path for name, path in outputs.items()})


if __name__ == "__main__":
    run(main, snakemake)
