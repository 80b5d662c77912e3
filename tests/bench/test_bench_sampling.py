"""What seven draws of one prompt cost beside seven calls of transformers' generate: a ratio."""

import random
import time
from collections.abc import Callable

import torch
from transformers import AutoTokenizer, LlamaForCausalLM

from helpers import ROOT
from reset_tuning.sampling.backend import Request, Setting
from reset_tuning.sampling.transformers_backend import TransformersBackend

PROMPTS, PROMPT_TOKENS, NEW_TOKENS = 32, 120, 16
TEMPERATURES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)


def cpu_seconds(work: Callable[[], object]) -> float:
    """Return the best of three CPU times."""
    found = []
    for _ in range(3):
        started = time.process_time()
        work()
        found.append(time.process_time() - started)
    return min(found)


def test_draws_share_their_prompt() -> None:
    torch.set_num_threads(1)
    folder = ROOT / "resources" / "mini" / "base"
    model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    generator = random.Random(0)
    prompts = [
        [tokenizer.bos_token_id, *generator.choices(range(10, 600), k=PROMPT_TOKENS)]
        for _ in range(PROMPTS)
    ]
    settings = tuple(Setting(temperature, 0, seed) for seed, temperature in enumerate(TEMPERATURES))
    requests = [Request(tuple(prompt), settings, NEW_TOKENS) for prompt in prompts]
    backend = TransformersBackend(model, tokenizer, batch_tokens=16384)

    def seven_calls() -> None:
        for temperature in TEMPERATURES:
            model.generate(
                torch.tensor(prompts),
                do_sample=True,
                temperature=temperature,
                top_k=0,
                max_new_tokens=NEW_TOKENS,
                pad_token_id=tokenizer.pad_token_id,
            )

    ours = cpu_seconds(lambda: list(backend.generate(requests)))
    theirs = cpu_seconds(seven_calls)
    print(f"\nsampling: seven calls of generate cost {theirs / ours:.1f} x one shared prompt")
