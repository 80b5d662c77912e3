"""A model made from the text of example tables."""

from pathlib import Path

import pandas as pd
import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

import build_local_model
from reset_tuning.errors import InputError
from reset_tuning.files import sha256_of
from reset_tuning.tables import write_table
from reset_tuning.training.checkpoints import MODEL_FILES
from reset_tuning.training.initialise import InitialModel

SPEC = {
    "hidden_size": 32,
    "layers": 2,
    "heads": 2,
    "vocabulary": 320,
    "seed": 5,
    "max_length": 128,
}


def write_examples(path: Path) -> Path:
    row = {
        "example_id": "a",
        "dataset": "toy",
        "kind": "extractive_qa",
        "instruction": None,
        "context": "The theatre was built in Łódź in 1888. The theatre burnt down.",
        "question": "When was the theatre built?",
        "references": ["1888", "in 1888"],
        "source_row": "toy.jsonl:1",
    }
    write_table(pd.DataFrame([row]), path, "example")
    return path


def build(folder: Path, **changes: int) -> Path:
    outputs = {name: folder / file for name, file in MODEL_FILES.items()}
    examples = write_examples(folder.with_suffix(".parquet"))
    build_local_model.main(examples=[examples], **outputs, spec=SPEC | changes)
    return folder


def test_it_loads_and_reads_any_text(tmp_path: Path) -> None:
    folder = build(tmp_path / "model")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    text = "Öl für the theatre? \n\n### Response:"
    assert tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]) == text
    assert (tokenizer.pad_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id) == (0, 1, 2)
    assert len(tokenizer("the theatre", add_special_tokens=False)["input_ids"]) < 6
    assert model.config.vocab_size == len(tokenizer) <= SPEC["vocabulary"]
    assert model.config.max_position_embeddings == SPEC["max_length"]


def test_the_same_seed_gives_the_same_files_and_readable_ones(tmp_path: Path) -> None:
    first, second = build(tmp_path / "first"), build(tmp_path / "second")
    other = build(tmp_path / "other", seed=6)
    for file in MODEL_FILES.values():
        assert sha256_of(first / file) == sha256_of(second / file)
        assert (first / file).stat().st_mode & 0o044 == 0o044
    assert sha256_of(first / "model.safetensors") != sha256_of(other / "model.safetensors")
    assert {path.name for path in first.iterdir()} == set(MODEL_FILES.values())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"vocabulary": 100}, "vocabulary 100"),
        ({"heads": 3}, "hidden_size 32"),
        ({"layers": 0}, "positive"),
    ],
)
def test_impossible_sizes_are_refused(change: dict[str, int], words: str) -> None:
    with pytest.raises(InputError, match=words):
        InitialModel(**SPEC | change)
