"""What sampling costs beside transformers' own generate, and beside simpler ways to share prompts.

Ratios of CPU time in one run. RESET_BENCH_PROMPTS makes the shapes smaller or larger (32 prompts).
"""

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from transformers import DynamicCache, LlamaConfig, LlamaForCausalLM

from helpers import ROOT
from reset_tuning.sampling.backend import Request, Setting
from reset_tuning.sampling.choice import next_tokens
from reset_tuning.sampling.transformers_backend import TransformersBackend

N_PROMPTS = int(os.environ.get("RESET_BENCH_PROMPTS", "32"))
BATCH_TOKENS = 16384
VOCABULARY, PAD, BOS, EOS = 8000, 0, 1, 2
TEMPERATURES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
TOP_KS = (5, 10, 20, 50, 70, 90, 100)
GRID = [(temperature, 0) for temperature in TEMPERATURES] + [(1.0, top_k) for top_k in TOP_KS]
SUMMARIES, INSTRUCTIONS = ((600, 1000), 24), ((60, 60), 200)


@pytest.fixture(scope="module")
def model() -> LlamaForCausalLM:
    torch.manual_seed(0)
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    config = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=384, intermediate_size=1024, num_hidden_layers=6,
        num_attention_heads=6, num_key_value_heads=6, max_position_embeddings=2048,
        pad_token_id=PAD, bos_token_id=BOS, eos_token_id=EOS,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval()


@pytest.fixture(scope="module")
def backend(model: LlamaForCausalLM) -> TransformersBackend:
    def decode(tokens: Sequence[int], **_: object) -> str:
        return " ".join(map(str, tokens))

    tokenizer = SimpleNamespace(eos_token_id=EOS, name_or_path="numbers", decode=decode)
    return TransformersBackend(model, tokenizer, BATCH_TOKENS)


def draw_requests(
    n_prompts: int, lengths: tuple[int, int], new_tokens: int, settings: Sequence[tuple[float, int]]
) -> list[Request]:
    generator = random.Random(0)
    return [
        Request(
            (BOS, *generator.choices(range(3, VOCABULARY), k=generator.randint(*lengths) - 1)),
            tuple(Setting(t, k, 100 * row + place) for place, (t, k) in enumerate(settings)),
            new_tokens,
        )
        for row in range(n_prompts)
    ]


def cpu_seconds(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def padded(requests: Sequence[Request]) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Return ids and mask of the backend's own batches, padded on the left."""
    rows = sorted((request.prompt_ids for request in requests), key=lambda ids: -len(ids))
    batches = []
    while rows:
        width = len(rows[0])
        part, rows = rows[: BATCH_TOKENS // width], rows[BATCH_TOKENS // width :]
        ids = torch.tensor([[PAD] * (width - len(row)) + list(row) for row in part])
        batches.append(
            (ids, (torch.arange(width) >= width - torch.tensor([[len(r)] for r in part])))
        )
    return batches


def call_generate(model: LlamaForCausalLM, requests: Sequence[Request], **options: object) -> None:
    new = requests[0].max_new_tokens
    for ids, mask in padded(requests):
        model.generate(
            ids, attention_mask=mask.long(), do_sample=True, max_new_tokens=new,
            min_new_tokens=new, pad_token_id=PAD, **options,
        )  # fmt: skip


@torch.inference_mode()
def decode_under_mask(model: LlamaForCausalLM, requests: Sequence[Request]) -> None:
    """Draws as positions of one row under a mask, in one cache: its columns grow with each draw."""
    n = len(GRID)
    own = torch.eye(n, dtype=torch.bool)
    for ids, mask in padded(requests):
        logits, cache, choose = _read(model, ids, mask)
        columns = mask[:, None].expand(-1, n, -1)
        for step in range(requests[0].max_new_tokens):
            tokens = choose(logits.expand(-1, n, -1) if step == 0 else logits)
            columns = torch.cat([columns, own.expand(len(ids), -1, -1)], -1)
            positions = (mask.sum(-1) + step)[:, None].expand(-1, n)
            logits = model(
                tokens, attention_mask=columns[:, None], position_ids=positions,
                past_key_values=cache, use_cache=True,
            ).logits  # fmt: skip


@torch.inference_mode()
def decode_in_rows(model: LlamaForCausalLM, requests: Sequence[Request]) -> None:
    """A row for each draw: the prompt is read once and its keys are copied for every draw."""
    n = len(GRID)
    for ids, mask in padded(requests):
        logits, cache, choose = _read(model, ids, mask)
        cache.batch_repeat_interleave(n)
        logits, rows = (
            logits.expand(-1, n, -1).reshape(-1, 1, VOCABULARY),
            mask.repeat_interleave(n, 0),
        )
        lengths = rows.sum(-1, keepdim=True)
        for step in range(requests[0].max_new_tokens):
            tokens = choose(logits.view(len(ids), n, -1)).view(-1, 1)
            rows = torch.cat([rows, torch.ones_like(rows[:, :1])], -1)
            logits = model(
                tokens, attention_mask=rows.long(), position_ids=lengths + step,
                past_key_values=cache, use_cache=True,
            ).logits  # fmt: skip


def _read(
    model: LlamaForCausalLM, ids: torch.Tensor, mask: torch.Tensor
) -> tuple[torch.Tensor, DynamicCache, Callable[[torch.Tensor], torch.Tensor]]:
    cache = DynamicCache(config=model.config)
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    read = model(
        ids, attention_mask=mask.long(), position_ids=positions, past_key_values=cache,
        use_cache=True, logits_to_keep=1,
    )  # fmt: skip
    temperatures = torch.tensor([t for t, _ in GRID] * len(ids), dtype=torch.float64)
    top_ks = torch.tensor([k for _, k in GRID] * len(ids))

    def choose(logits: torch.Tensor) -> torch.Tensor:
        uniform = torch.rand(len(temperatures), dtype=torch.float64)
        return next_tokens(logits.flatten(0, 1), temperatures, top_ks, uniform).view(len(ids), -1)

    return read.logits, cache, choose


@pytest.mark.parametrize(("lengths", "new_tokens"), [SUMMARIES, INSTRUCTIONS])
def test_ways_to_share_a_prompt(
    lengths: tuple[int, int],
    new_tokens: int,
    model: LlamaForCausalLM,
    backend: TransformersBackend,
) -> None:
    """Fourteen draws of each prompt: our way beside two simpler ones and beside generate."""
    requests = draw_requests(N_PROMPTS, lengths, new_tokens, GRID)

    def fourteen_calls() -> None:
        for temperature, top_k in GRID:
            call_generate(model, requests, temperature=temperature, top_k=top_k)

    def one_call() -> None:
        call_generate(model, requests, temperature=0.7, top_k=0, num_return_sequences=len(GRID))

    list(backend.generate(requests[:2]))
    ours = cpu_seconds(lambda: list(backend.generate(requests)))
    print(f"\nsampling {N_PROMPTS} prompts of {lengths} tokens, {new_tokens} new: {ours:.1f} CPU s")
    others = {
        "positions under a mask": lambda: decode_under_mask(model, requests),
        "a row for each draw": lambda: decode_in_rows(model, requests),
        "14 calls of generate": fourteen_calls,
        "num_return_sequences=14": one_call,
    }
    for name, way in others.items():
        print(f"  {name}: {cpu_seconds(way) / ours:.1f} x", flush=True)


def test_greedy_tokens_equal_generate(
    model: LlamaForCausalLM, backend: TransformersBackend
) -> None:
    requests = draw_requests(200, (20, 200), 24, [(0.0, 0)])
    found = {index: one[0].output for batch in backend.generate(requests) for index, one in batch}
    equal = 0
    for index, request in enumerate(requests):
        prompt = torch.tensor([request.prompt_ids])
        written = model.generate(
            prompt, attention_mask=torch.ones_like(prompt), do_sample=False, max_new_tokens=24
        )[0, prompt.shape[1] :].tolist()
        equal += found[index] == " ".join(str(token) for token in written if token != EOS)
    print(f"\ngreedy: {equal} of 200 prompts have the tokens of generate, one by one")
    assert equal == 200


def test_share_of_draws_that_another_batch_changes(model: LlamaForCausalLM) -> None:
    """In bfloat16 the last bits of the logits depend on the batch; rows are matched by request."""
    requests = draw_requests(max(N_PROMPTS // 2, 4), (60, 200), 48, GRID)
    half = LlamaForCausalLM(model.config).eval()
    half.load_state_dict(model.state_dict())
    for dtype in (torch.float32, torch.bfloat16):
        half = half.to(dtype)
        tokenizer = SimpleNamespace(
            eos_token_id=EOS, name_or_path="", decode=lambda tokens, **_: str(tokens)
        )
        one, other = (
            dict(pair for batch in TransformersBackend(half, tokenizer, size).generate(requests)
                 for pair in batch)
            for size in (BATCH_TOKENS, 1024)
        )  # fmt: skip
        pairs = [pair for row in one for pair in zip(one[row], other[row], strict=True)]
        changed = sum(first.output != second.output for first, second in pairs)
        print(f"\nbatches of 16,384 and 1,024 tokens, {dtype}: {changed} of {len(pairs)} differ")


def peak_megabytes(folder: Path, n_examples: int) -> tuple[float, float]:
    """Return the memory that sampling a mixture took in a process of its own, and its seconds."""
    script = ROOT / "tests" / "bench" / "pool_memory.py"
    done = subprocess.run(
        [sys.executable, script, folder / str(n_examples), str(n_examples)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    report = json.loads(done.stdout.splitlines()[-1])
    return report["megabytes"], report["seconds"]


def test_memory_is_flat(tmp_path: Path) -> None:
    small, seconds = peak_megabytes(tmp_path, 1000)
    large, more_seconds = peak_megabytes(tmp_path, 10_000)
    print(
        f"\npool of 1,000 and 10,000 examples x 7 samples: {small:.0f} and {large:.0f} MB beside "
        f"the imports, {seconds:.0f} and {more_seconds:.0f} s"
    )
    assert large < small + 100
