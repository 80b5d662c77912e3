"""What one shared prompt costs beside one prompt per sample: a ratio within one run."""

import time
from collections.abc import Callable

import torch
from transformers import LlamaConfig, LlamaForCausalLM

PROMPTS, PROMPT_TOKENS, NEW_TOKENS, DRAWS = 16, 120, 16, 7


def cpu_seconds(work: Callable[[], object]) -> float:
    """Return the best of three CPU times: these machines are noisy."""
    found = []
    for _ in range(3):
        started = time.process_time()
        work()
        found.append(time.process_time() - started)
    return min(found)


def small_llama() -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=600,
        hidden_size=128,
        intermediate_size=320,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=256,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=None,
    )
    return LlamaForCausalLM(config).eval()
