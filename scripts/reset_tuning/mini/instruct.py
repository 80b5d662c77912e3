"""The instruction-tuned miniature model, the stand-in of Vicuna-7B."""

import logging
import math
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from reset_tuning.mini.instructions import draw_instruction
from reset_tuning.mini.people import NOISE, SOURCES, human_answer
from reset_tuning.mini.prompts import instruction_prompt
from reset_tuning.mini.sequences import Row, encode_pair, pad_batch, weighted_loss
from reset_tuning.seeds import draw_seed

_LOG = logging.getLogger(__name__)
_LOG_EVERY = 50
_BUCKET_BATCHES = 8


@dataclass(frozen=True)
class InstructRecipe:
    """How the instruction-tuned model is built; the defaults are the shipped model's."""

    examples: int = 6000
    noise: str = "web"
    learning_rate: float = 1e-3
    batch: int = 16
    warmup_share: float = 0.05


def draw_examples(
    tokenizer: PreTrainedTokenizerFast, recipe: InstructRecipe, seed: int
) -> list[Row]:
    """Draw instructions of the training side with the answers of all four kinds of people.

    The draws share no seed with any dataset's rows.
    """
    generator = random.Random(draw_seed(seed, "", "miniature instruct model"))
    rows = []
    for _ in range(recipe.examples):
        source = SOURCES[generator.choice(list(SOURCES))]
        instruction = draw_instruction(generator, opener_rate=source.opener_rate)
        answer = human_answer(generator, instruction, source, NOISE[recipe.noise])
        rows.append(encode_pair(tokenizer, instruction_prompt(instruction.text), answer))
    return rows


def tune(
    model: LlamaForCausalLM,
    rows: Sequence[Row],
    learning_rate: float,
    batch: int,
    seed: int,
    warmup_share: float = 0.05,
) -> LlamaForCausalLM:
    """Fine-tune a model in place for one epoch with a cosine schedule."""
    torch.manual_seed(seed)
    batches = list(_batches(rows, batch, random.Random(seed)))
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.0, fused=True
    )
    warmup = max(1, int(warmup_share * len(batches)))
    started = time.process_time()
    model.train()
    for step, chosen in enumerate(batches):
        cosine = 0.5 * (1 + math.cos(math.pi * step / len(batches)))
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * min(1.0, (step + 1) / warmup) * cosine
        ids, weights = pad_batch(chosen)
        loss = weighted_loss(model(input_ids=ids).logits, ids, weights)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if (step + 1) % _LOG_EVERY == 0:
            seconds = time.process_time() - started
            _LOG.info(
                "step %d of %d: loss %.3f, %.0f s", step + 1, len(batches), loss.item(), seconds
            )
    return model.eval()


def build_instruct(
    base: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    recipe: InstructRecipe,
    seed: int,
    threads: int = 1,
) -> LlamaForCausalLM:
    """Fine-tune the base model on instructions (about a quarter of a minute)."""
    torch.set_num_threads(threads)
    rows = draw_examples(tokenizer, recipe, seed)
    return tune(base, rows, recipe.learning_rate, recipe.batch, seed, recipe.warmup_share)


def _batches(rows: Sequence[Row], size: int, generator: random.Random) -> Iterator[Sequence[Row]]:
    """Yield batches in random order, each of rows of similar length."""
    order = list(rows)
    generator.shuffle(order)
    bucket = size * _BUCKET_BATCHES
    for start in range(0, len(order), bucket):
        near = sorted(order[start : start + bucket], key=lambda row: len(row[0]))
        batches = [near[first : first + size] for first in range(0, len(near), size)]
        generator.shuffle(batches)
        yield from batches
