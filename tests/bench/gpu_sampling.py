"""Samples per second of a 7B-shaped model on this machine's GPU, beside transformers' generate.

    python tests/bench/gpu_sampling.py [--prompts 64 --layers 32 --hidden 4096]

A Llama with random weights in bfloat16 gets prompts of 900 random tokens and writes 7 samples of 75
tokens for each: through the workflow's backend, and through `generate` with num_return_sequences=7
on batches that fit. The aim is 3 x. It then tells the share of samples that differ when the same
requests are decoded in smaller batches. Not run by us: there was no GPU.
"""

import argparse
import random
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import torch
from transformers import LlamaConfig, LlamaForCausalLM

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

from reset_tuning.sampling.backend import Request, Setting  # noqa: E402
from reset_tuning.sampling.transformers_backend import TransformersBackend  # noqa: E402

PAD, BOS, EOS, VOCABULARY = 0, 1, 2, 32_000
TEMPERATURES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)


def random_model(layers: int, hidden: int, device: str) -> LlamaForCausalLM:
    config = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=hidden,
        intermediate_size=-(-hidden * 8 // 3 // 256) * 256, num_hidden_layers=layers,
        num_attention_heads=max(1, hidden // 128), max_position_embeddings=2048,
        pad_token_id=PAD, bos_token_id=BOS, eos_token_id=EOS,
    )  # fmt: skip
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device(device):
            return LlamaForCausalLM(config).eval()
    finally:
        torch.set_default_dtype(default)


def random_requests(n_prompts: int, prompt_tokens: int, new_tokens: int) -> list[Request]:
    draw = random.Random(0)
    return [
        Request(
            (BOS, *draw.choices(range(3, VOCABULARY), k=prompt_tokens - 1)),
            tuple(Setting(t, 0, 10 * row + place) for place, t in enumerate(TEMPERATURES)),
            new_tokens,
        )
        for row in range(n_prompts)
    ]


def timed(work: Callable[[], object], device: str) -> tuple[float, object]:
    def wait() -> None:
        if device == "cuda":
            torch.cuda.synchronize()

    wait()
    started = time.monotonic()
    result = work()
    wait()
    return time.monotonic() - started, result


def call_generate(model: LlamaForCausalLM, requests: Sequence[Request], at_once: int) -> None:
    for start in range(0, len(requests), at_once):
        ids = torch.tensor([request.prompt_ids for request in requests[start : start + at_once]])
        ids = ids.to(model.device)
        model.generate(
            ids, attention_mask=torch.ones_like(ids), do_sample=True, temperature=0.7, top_k=0,
            num_return_sequences=len(TEMPERATURES), max_new_tokens=requests[0].max_new_tokens,
            min_new_tokens=requests[0].max_new_tokens, pad_token_id=PAD,
        )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, default=32)
    parser.add_argument("--hidden", type=int, default=4096)
    parser.add_argument("--prompts", type=int, default=64)
    parser.add_argument("--prompt-tokens", type=int, default=900)
    parser.add_argument("--new-tokens", type=int, default=75)
    parser.add_argument("--batch-tokens", type=int, default=16384)
    parser.add_argument(
        "--generate-at-once", type=int, default=8, help="prompts a call of generate"
    )
    options = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = random_model(options.layers, options.hidden, device)
    tokenizer = SimpleNamespace(
        eos_token_id=EOS, name_or_path="numbers", decode=lambda tokens, **_: str(tokens)
    )
    requests = random_requests(options.prompts, options.prompt_tokens, options.new_tokens)

    def sample(batch_tokens: int, some: Sequence[Request]) -> dict:
        backend = TransformersBackend(model, tokenizer, batch_tokens)
        return dict(pair for batch in backend.generate(some) for pair in batch)

    timed(lambda: sample(options.batch_tokens, requests[:2]), device)
    timed(lambda: call_generate(model, requests[:1], 1), device)
    ours, outputs = timed(lambda: sample(options.batch_tokens, requests), device)
    theirs, _ = timed(lambda: call_generate(model, requests, options.generate_at_once), device)
    name = torch.cuda.get_device_name() if device == "cuda" else "CPU"
    n_tokens = options.prompts * len(TEMPERATURES) * options.new_tokens
    for what, seconds in (("this backend", ours), ("generate", theirs)):
        rates = f"{n_tokens / seconds:.0f} tokens/s, {options.prompts / seconds:.2f} prompts/s"
        print(f"{name}, {what}: {rates}")
    print(f"this backend is {theirs / ours:.1f} x as fast as num_return_sequences=7 (aim: 3)")
    if device == "cuda":
        print(f"peak memory {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB")
    other = sample(options.batch_tokens // 4, requests)
    pairs = [pair for row in outputs for pair in zip(outputs[row], other[row], strict=True)]
    changed = sum(first.output != second.output for first, second in pairs)
    print(f"in batches of a quarter the size {changed} of {len(pairs)} samples differ")


if __name__ == "__main__":
    main()
