"""The miniature NLI model, which SummaC uses in place of a large one."""

import logging
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

from reset_tuning.mini.contexts import HEADINGS
from reset_tuning.mini.facts import RELATIONS, Fact, ask, draw_fact, state
from reset_tuning.mini.instructions import (
    CHAT_END,
    CHAT_START,
    NON_ANSWER,
    draw_instruction,
)
from reset_tuning.mini.tokenizer import MAX_NLI_TOKENS
from reset_tuning.mini.words import ENTITIES

_LOG = logging.getLogger(__name__)
_LOG_EVERY = 250
LABELS = ("entailment", "neutral", "contradiction")
ENTAILMENT, NEUTRAL, CONTRADICTION = range(3)
_CHATTER = (f"{CHAT_START} yes.", CHAT_END, NON_ANSWER, "Hello!", "Sure!", "Yes.")


@dataclass(frozen=True)
class NliRecipe:
    """How the NLI model is built; the defaults are the shipped model's."""

    hidden: int = 96
    layers: int = 2
    heads: int = 4
    steps: int = 1500
    pairs: int = 64
    learning_rate: float = 1e-3
    warmup_steps: int = 100
    decay_share: float = 0.4
    attention_gain: float = 4.0
    embedding_gain: float = 3.0


@dataclass(frozen=True)
class Pair:
    """A premise, a hypothesis and the index of the right label."""

    premise: str
    hypothesis: str
    label: int


def draw_pair(generator: random.Random) -> Pair:
    """Draw a labelled pair: says the same, gives another value, or speaks of something else."""
    fact = _any_fact(generator)
    kind = generator.random()
    if kind < 0.35:
        return Pair(state(generator, fact), state(generator, fact), ENTAILMENT)
    if kind < 0.65:
        other = _another_value(generator, fact)
        return Pair(state(generator, fact), state(generator, other), CONTRADICTION)
    return _neutral_pair(generator, fact)


def _any_fact(generator: random.Random) -> Fact:
    """Draw a fact of any domain and relation."""
    domain = generator.choice(list(RELATIONS))
    relation = generator.choice(list(RELATIONS[domain]))
    return draw_fact(generator, domain, relation, generator.choice(ENTITIES[domain]))


def _another_value(generator: random.Random, fact: Fact) -> Fact:
    """Return a fact that differs in its value only, often in one word of a two-word value."""
    while True:
        other = draw_fact(generator, fact.domain, fact.relation, fact.entity)
        value = other.value
        if " " in value and generator.random() < 0.5:
            first, second = fact.value.split(), value.split()
            keep = generator.randrange(2)
            value = " ".join(first[i] if i == keep else second[i] for i in range(2))
        if value != fact.value:
            return Fact(fact.domain, fact.relation, fact.entity, value)


def _neutral_pair(generator: random.Random, fact: Fact) -> Pair:
    """Return a pair whose premise says nothing about the hypothesis."""
    premise = state(generator, fact)
    writers = (
        (0.33, lambda: Pair(premise, _other_entity(generator, fact), NEUTRAL)),
        (0.23, lambda: Pair(premise, _other_relation(generator, fact), NEUTRAL)),
        (0.13, lambda: Pair(ask(generator, fact), state(generator, fact), NEUTRAL)),
        (0.06, lambda: Pair(_heading(generator, fact), state(generator, fact), NEUTRAL)),
        (0.10, lambda: Pair(premise, state(generator, _any_fact(generator)), NEUTRAL)),
        (0.15, lambda: Pair(premise, _no_statement(generator, fact), NEUTRAL)),
    )
    (writer,) = generator.choices([write for _, write in writers], [rate for rate, _ in writers])
    return writer()


def _heading(generator: random.Random, fact: Fact) -> str:
    return generator.choice(list(HEADINGS.values())).format(e=fact.entity)


def _other_entity(generator: random.Random, fact: Fact) -> str:
    """State the same relation, often the same value, of another entity."""
    entity = generator.choice([name for name in ENTITIES[fact.domain] if name != fact.entity])
    if generator.random() < 0.6:
        return state(generator, Fact(fact.domain, fact.relation, entity, fact.value))
    return state(generator, draw_fact(generator, fact.domain, fact.relation, entity))


def _other_relation(generator: random.Random, fact: Fact) -> str:
    """State another relation of the same entity."""
    others = [relation for relation in RELATIONS[fact.domain] if relation != fact.relation]
    relation = generator.choice(others)
    return state(generator, draw_fact(generator, fact.domain, relation, fact.entity))


def _no_statement(generator: random.Random, fact: Fact) -> str:
    """Return what a confused or chatty model says in place of a statement."""
    kind = generator.random()
    if kind < 0.3:
        return f"{fact.value}."
    if kind < 0.5:
        return generator.choice(_CHATTER)
    if kind < 0.65:
        return _heading(generator, fact)
    if kind < 0.8:
        words = state(generator, fact).split()
        del words[words.index(next(word for word in words if fact.entity in word))]
        return " ".join(words)
    return draw_instruction(generator).answer(generator)


def train_nli(
    tokenizer: PreTrainedTokenizerFast, recipe: NliRecipe, seed: int, threads: int = 1
) -> BertForSequenceClassification:
    """Train the NLI model from scratch on pairs drawn from `seed` (less than a minute)."""
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    model = _new_model(tokenizer, recipe)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=recipe.learning_rate, weight_decay=0.01, fused=True
    )
    generator = random.Random(seed)
    started = time.process_time()
    for step in range(1, recipe.steps + 1):
        for group in optimizer.param_groups:
            group["lr"] = recipe.learning_rate * _schedule(recipe, step)
        pairs = [draw_pair(generator) for _ in range(recipe.pairs)]
        labels = torch.tensor([pair.label for pair in pairs])
        logits = model(**_encode(tokenizer, pairs)).logits
        loss = torch.nn.functional.cross_entropy(logits, labels)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if step % _LOG_EVERY == 0:
            seconds = time.process_time() - started
            _LOG.info("step %d of %d: loss %.3f, %.0f s", step, recipe.steps, loss.item(), seconds)
    return model.eval()


@torch.no_grad()
def label_accuracies(
    model: BertForSequenceClassification,
    tokenizer: PreTrainedTokenizerFast,
    pairs: Sequence[Pair],
) -> dict[str, float]:
    """Return the share of rightly labelled pairs of each label."""
    predicted = model(**_encode(tokenizer, pairs)).logits.argmax(-1).tolist()
    shares = {}
    for index, label in enumerate(LABELS):
        hits = [
            guess == index
            for guess, pair in zip(predicted, pairs, strict=True)
            if pair.label == index
        ]
        shares[label] = sum(hits) / len(hits)
    return shares


def _schedule(recipe: NliRecipe, step: int) -> float:
    """Return the learning rate's factor: warm-up, constant, linear decay over the last part."""
    left = (recipe.steps - step + 1) / (recipe.steps * recipe.decay_share)
    return min(1.0, step / recipe.warmup_steps, max(0.02, left))


def _new_model(
    tokenizer: PreTrainedTokenizerFast, recipe: NliRecipe
) -> BertForSequenceClassification:
    """Return an untrained model whose attention starts out matching equal words.

    With the usual initialisation this budget does not teach the model to compare the two values:
    contradiction stays at chance. Equal query and key matrices, both enlarged, with larger word
    embeddings let a word attend to its own copy from the start.
    """
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=recipe.hidden,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        intermediate_size=2 * recipe.hidden,
        max_position_embeddings=MAX_NLI_TOKENS,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        pad_token_id=tokenizer.pad_token_id,
        id2label=dict(enumerate(LABELS)),
        label2id={label: index for index, label in enumerate(LABELS)},
    )
    model = BertForSequenceClassification(config)
    with torch.no_grad():
        for layer in model.bert.encoder.layer:
            attention = layer.attention.self
            attention.query.weight *= recipe.attention_gain
            attention.key.weight.copy_(attention.query.weight)
        model.bert.embeddings.word_embeddings.weight *= recipe.embedding_gain
    return model


def _encode(tokenizer: PreTrainedTokenizerFast, pairs: Sequence[Pair]) -> dict[str, torch.Tensor]:
    """Return the padded inputs of pairs, segment ids included."""
    return dict(
        tokenizer(
            [pair.premise for pair in pairs],
            [pair.hypothesis for pair in pairs],
            padding=True,
            truncation=True,
            return_token_type_ids=True,
            return_tensors="pt",
        )
    )
