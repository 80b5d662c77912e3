"""Outputs with their examples, and a tiny NLI model with random weights."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from reset_tuning.tables import write_table

WORDS = "the a cat dog sat ran on in mat rain fell it was not red blue bergen where what is does"


@pytest.fixture
def write_outputs(tmp_path: Path) -> Callable[..., tuple[Path, list[Path]]]:
    """Return a function that writes one example and one output per given row."""

    def write(*rows: dict[str, Any]) -> tuple[Path, list[Path]]:
        examples = {row["example_id"]: row for row in rows}
        frame = pd.DataFrame(
            {
                "example_id": list(examples),
                "dataset": "d",
                "kind": [row["kind"] for row in examples.values()],
                "instruction": None,
                "context": [row.get("context") for row in examples.values()],
                "question": [row.get("question") for row in examples.values()],
                "references": [row.get("references", []) for row in examples.values()],
                "source_row": "x",
            }
        )
        outputs = pd.DataFrame(
            {
                "run": "mtl", "seed": 1, "checkpoint": "best", "decoding": "greedy",
                "example_id": [row["example_id"] for row in rows],
                "sample_id": range(len(rows)), "dataset": "d", "arm": "greedy", "round": 0,
                "temperature": 0.0, "top_k": 0, "sampling_seed": 0, "multiplicity": 1,
                "output": [row["output"] for row in rows], "n_tokens": 3, "finish_reason": "stop",
            }
        )  # fmt: skip
        write_table(outputs, tmp_path / "outputs.parquet", "generation")
        write_table(frame, tmp_path / "test.parquet", "example")
        return tmp_path / "outputs.parquet", [tmp_path / "test.parquet"]

    return write


@pytest.fixture(scope="session")
def nli_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Save a two-layer BERT classifier with random weights and a word-level tokenizer.

    The tokenizer is a generic one, which, like ALBERT's in transformers 5, returns no segment ids
    unless it is asked to. The labels are in RoBERTa's order.
    """
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS.split(), ".", "?", ","]
    vocabulary = {word: index for index, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]", cls_token="[CLS]",
        sep_token="[SEP]", model_input_names=["input_ids", "attention_mask"],
    )  # fmt: skip
    labels = {0: "CONTRADICTION", 1: "NEUTRAL", 2: "ENTAILMENT"}
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(words), hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=64, max_position_embeddings=512, id2label=labels,
        label2id={label: index for index, label in labels.items()}, initializer_range=0.3,
    )  # fmt: skip
    directory = tmp_path_factory.mktemp("nli")
    BertForSequenceClassification(config).eval().save_pretrained(directory)
    fast.save_pretrained(directory)
    return directory
