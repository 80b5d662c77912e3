"""Pre-training of the miniature base model, the stand-in of LLaMA-7B."""

import logging
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from reset_tuning.mini.documents import draw_document
from reset_tuning.mini.probe import answer_accuracy, base_probes
from reset_tuning.mini.sequences import Row, encode_document, pack, pad_batch, weighted_loss
from reset_tuning.mini.tokenizer import MAX_LM_TOKENS

_LOG = logging.getLogger(__name__)
_LOG_EVERY = 50
_PROBE_EVERY = 250


@dataclass(frozen=True)
class PretrainRecipe:
    """How the base model is built; the defaults are the shipped model's."""

    hidden: int = 128
    layers: int = 3
    heads: int = 4
    mlp: int = 320
    steps: int = 2450
    rows: int = 20
    row_tokens: int = 160
    learning_rate: float = 2e-3
    warmup_steps: int = 100
    decay_steps: int = 500
    final_rate: float = 0.02
    weight_decay: float = 0.05
    context_weight: float = 0.1


def pretrain(
    tokenizer: PreTrainedTokenizerFast, recipe: PretrainRecipe, seed: int, threads: int = 1
) -> LlamaForCausalLM:
    """Train the base model from scratch on documents drawn from `seed` (about a quarter hour)."""
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    model = LlamaForCausalLM(_config(tokenizer, recipe))
    optimizer = torch.optim.AdamW(_groups(model, recipe), betas=(0.9, 0.98), fused=True)
    rows = _rows(tokenizer, recipe, random.Random(seed))
    started = time.process_time()
    for step in range(1, recipe.steps + 1):
        for group in optimizer.param_groups:
            group["lr"] = recipe.learning_rate * schedule(recipe, step)
        model.train()
        ids, weights = pad_batch([next(rows) for _ in range(recipe.rows)])
        loss = weighted_loss(model(input_ids=ids).logits, ids, weights)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if step % _LOG_EVERY == 0:
            seconds = time.process_time() - started
            _LOG.info("step %d of %d: loss %.3f, %.0f s", step, recipe.steps, loss.item(), seconds)
        if step % _PROBE_EVERY == 0 or step == recipe.steps:
            log_probes(model, tokenizer)
    return model.eval()


def schedule(recipe: PretrainRecipe, step: int) -> float:
    """Return the learning rate's factor at a step: warm-up, constant, linear decay at the end."""
    left = (recipe.steps - step + 1) / recipe.decay_steps
    return min(1.0, step / recipe.warmup_steps, max(recipe.final_rate, left))


def log_probes(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast) -> None:
    """Log the held-out accuracies of the base model."""
    found = {
        name: round(answer_accuracy(model, tokenizer, documents), 2)
        for name, documents in base_probes().items()
    }
    _LOG.info("held-out accuracy: %s", found)


def _config(tokenizer: PreTrainedTokenizerFast, recipe: PretrainRecipe) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=recipe.hidden,
        intermediate_size=recipe.mlp,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        num_key_value_heads=recipe.heads,
        max_position_embeddings=MAX_LM_TOKENS,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )


def _groups(model: LlamaForCausalLM, recipe: PretrainRecipe) -> list[dict[str, object]]:
    """Split the parameters into those that decay and the norms' gains that do not."""
    matrices = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    gains = [parameter for parameter in model.parameters() if parameter.ndim < 2]
    return [
        {"params": matrices, "weight_decay": recipe.weight_decay},
        {"params": gains, "weight_decay": 0.0},
    ]


def _rows(
    tokenizer: PreTrainedTokenizerFast, recipe: PretrainRecipe, generator: random.Random
) -> Iterator[Row]:
    """Yield packed rows for ever."""

    def documents() -> Iterator[Row]:
        while True:
            yield encode_document(tokenizer, draw_document(generator), recipe.context_weight)

    return pack(documents(), recipe.row_tokens)
