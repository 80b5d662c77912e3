"""On the miniature the same row gives the same tokens, whatever is around it."""

import random
from functools import cache, partial
from pathlib import Path

import pandas as pd
import pytest
import torch
from transformers import AutoTokenizer, LlamaForCausalLM

from helpers import ROOT
from reset_tuning.journal import Sidecar
from reset_tuning.mini.instructions import draw_instruction
from reset_tuning.mini.prompts import instruction_prompt
from reset_tuning.sampling.decodings import draws_of
from reset_tuning.sampling.outputs import Engine, generate
from reset_tuning.sampling.prompts import Prompt
from reset_tuning.sampling.ranks import share_of
from reset_tuning.sampling.texts import encode
from reset_tuning.sampling.transformers_backend import TransformersBackend

MODEL = ROOT / "resources" / "mini" / "instruct"
GRID = {
    "kind": "grid",
    "temperatures": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7],
    "top_ks": [5, 10, 20, 50, 70, 90, 100],
    "arm": "random",
}
GREEDY = {"kind": "greedy"}


@cache
def prompts() -> list[Prompt]:
    """Sixty instructions of the miniature's world, some of them with a long context."""
    draw = random.Random(5)
    texts = [instruction_prompt(draw_instruction(draw, True, True).text) for _ in range(60)]
    texts = [" ".join([text] * (1 + n % 4)) for n, text in enumerate(texts)]
    return [Prompt(f"e{n:02d}", "koala_eval", text, 24) for n, text in enumerate(texts)]


def run(rows: list[Prompt], batch_tokens: int, spec: dict = GRID, window: int = 1024):
    tokenizer = AutoTokenizer.from_pretrained(MODEL)

    def backend() -> TransformersBackend:
        means = {"dtype": "float32", "attention": "sdpa", "batch_tokens": batch_tokens}
        return TransformersBackend.load(str(MODEL), tokenizer, **means)

    with Sidecar(None) as sidecar:
        engine = Engine(sidecar, backend, partial(encode, tokenizer))
        parts = list(generate(rows, partial(draws_of, spec, 1), engine, window=window))
    return pd.concat(parts).sort_values(["example_id", "sample_id"]).reset_index(drop=True)


@pytest.fixture(scope="module")
def expected() -> pd.DataFrame:
    return run(prompts(), 16384)


@pytest.mark.parametrize("batch_tokens", [1, 700, 3000])
def test_the_batch_does_not_matter(batch_tokens: int, expected: pd.DataFrame):
    assert run(prompts(), batch_tokens).equals(expected)


def test_neither_order_nor_window_matter(expected: pd.DataFrame):
    shuffled = random.Random(1).sample(prompts(), len(prompts()))
    assert run(shuffled, 4096, window=13).equals(expected)


@pytest.mark.parametrize("ranks", [3, 7])
def test_the_number_of_shares_does_not_matter(ranks: int, expected: pd.DataFrame):
    parts = [run(list(share_of(prompts(), rank, ranks)), 4096) for rank in range(ranks)]
    together = pd.concat(parts).sort_values(["example_id", "sample_id"]).reset_index(drop=True)
    assert together.equals(expected)


def test_greedy_rows_are_those_of_transformers_one_by_one():
    model = LlamaForCausalLM.from_pretrained(MODEL, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(MODEL)
    rows = run(prompts(), 16384, GREEDY)
    for prompt, output in zip(prompts(), rows["output"], strict=True):
        (ids,) = encode(tokenizer, [prompt.text])
        written = model.generate(
            torch.tensor([ids]), do_sample=False, max_new_tokens=24,
            attention_mask=torch.ones((1, len(ids))), pad_token_id=tokenizer.pad_token_id,
        )[0, len(ids) :]  # fmt: skip
        assert output == tokenizer.decode(written, skip_special_tokens=True).strip()


def test_the_miniatures_positions_are_respected(tmp_path: Path):
    long = Prompt("long", "koala_eval", "again " * 300, 24)
    with pytest.raises(ValueError, match="exceeds the 256 positions"):
        run([long], 16384)
