"""A tiny random Llama with a word-level tokenizer, saved like a checkpoint."""

from pathlib import Path

import pytest
import torch
from tiny_model import tiny_llama, word_tokenizer
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from reset_tuning.sampling.backend import Request, Setting


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    return word_tokenizer()


@pytest.fixture(scope="session")
def model(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    return tiny_llama(tokenizer)


@pytest.fixture(scope="session")
def checkpoint(
    tmp_path_factory: pytest.TempPathFactory,
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint") / "best"
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def requests(tokenizer: PreTrainedTokenizerFast) -> list[Request]:
    """Prompts of different lengths with seven draws each, greedy first, limited to 24 tokens."""
    generator = torch.Generator().manual_seed(1)
    settings = [(0.0, 0), (0.3, 0), (0.7, 0), (1.5, 0), (1.0, 2), (1.0, 5), (2.0, 100)]
    requests = []
    for index in range(12):
        length = int(torch.randint(3, 30, (1,), generator=generator))
        ids = torch.randint(4, len(tokenizer), (length,), generator=generator).tolist()
        draws = tuple(Setting(t, k, 1000 * index + n) for n, (t, k) in enumerate(settings))
        requests.append(Request((tokenizer.bos_token_id, *ids), draws, 24))
    return requests
