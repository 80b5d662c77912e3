"""Makes what a training reads, small enough to train in seconds."""

import json
import random
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from reset_tuning.tables import read_table, write_table
from reset_tuning.training.encoding import Encoder
from reset_tuning.training.targets import sum_row_losses, target_positions

WORDS = ["<pad>", "<s>", "</s>", "[UNK]", *(f"w{n}" for n in range(60))]
TRAINING: dict[str, Any] = {
    "learning_rate": 3e-3,
    "weight_decay": 0.01,
    "warmup_ratio": 0.1,
    "schedule": "cosine",
    "epochs": 1,
    "global_batch_size": 8,
    "evaluation_steps": 5,
    "evaluation_examples": None,
    "gradient_clipping": 1.0,
    "deepspeed": "resources/deepspeed/zero3.json",
}


def word_tokenizer() -> PreTrainedTokenizerFast:
    """One token per word; text is pre-spaced."""
    vocabulary = {word: index for index, word in enumerate(WORDS)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="[UNK]",
    )


def tiny_llama() -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(WORDS),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=64,
        tie_word_embeddings=True,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    return LlamaForCausalLM(config)


def mixture_rows(count: int, seed: int) -> pd.DataFrame:
    """Rows whose response repeats the prompt's first words: something that can be learnt."""
    draw = random.Random(seed)
    rows = []
    for index in range(count):
        prompt = [f"w{draw.randrange(60)}" for _ in range(draw.randint(4, 30))]
        response = prompt[: draw.randint(1, 4)]
        rows.append(
            {
                "example_id": f"{seed}-{index:04d}",
                "dataset": "toy",
                "kind": "instruction",
                "instruction": " ".join(prompt),
                "context": None,
                "question": None,
                "references": [" ".join(response)],
                "source_row": f"toy.jsonl:{index + 1}",
                "set": "instruction",
                "copy": 0,
                "prompt": " ".join(prompt),
                "response": " ".join(response),
                "n_prompt_tokens": len(prompt),
                "n_response_tokens": len(response),
                "n_context_tokens_cut": 0,
            }
        )
    return pd.DataFrame(rows)


def write_settings(
    path: Path, *, max_length: int = 64, dtype: str = "float32", **training: Any
) -> Path:
    """Write runs/<run>.json with some training keys changed."""
    settings = {
        "run": "toy",
        "base": "tiny",
        "data": {"mixture": "toy"},
        "training": TRAINING | training,
        "max_length": max_length,
        "dtype": dtype,
        "attention": "sdpa",
    }
    path.write_text(json.dumps(settings))
    return path


def write_world(folder: Path) -> Path:
    tiny_llama().save_pretrained(folder / "base")
    word_tokenizer().save_pretrained(folder / "base")
    write_table(mixture_rows(90, seed=1), folder / "train.parquet", "mixture")
    write_table(mixture_rows(37, seed=2), folder / "validation.parquet", "mixture")
    write_settings(folder / "run.json")
    return folder


def evaluation_loss(model: torch.nn.Module, tokenizer: Path, table: Path) -> float:
    """Return the loss per target token, one row at a time."""
    encoder = Encoder(AutoTokenizer.from_pretrained(tokenizer), 64)
    rows = encoder(read_table(table, "mixture").to_dict("list"))
    total, count = 0.0, 0
    for ids, labels in zip(rows["input_ids"], rows["labels"], strict=True):
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([ids])).logits
        labels = torch.tensor([labels])
        sums, counts = sum_row_losses(logits[target_positions(labels)], labels)
        total, count = total + float(sums), count + int(counts)
    return total / count
