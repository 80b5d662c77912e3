"""Held-out accuracies of the miniature models: what they can do before any experiment starts."""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from transformers import (
    AutoTokenizer,
    BertForSequenceClassification,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

from reset_tuning.mini.contexts import draw_question
from reset_tuning.mini.documents import (
    Document,
    Segment,
    copying,
    join_passages,
    knowledge,
    question_and_answer,
)
from reset_tuning.mini.facts import RELATIONS, ask, clue, draw_passages
from reset_tuning.mini.instructions import draw_instruction
from reset_tuning.mini.judge import rate
from reset_tuning.mini.nli import LABELS, draw_pair, label_accuracies
from reset_tuning.mini.prompts import instruction_prompt
from reset_tuning.mini.sequences import encode, encode_document, pad_batch
from reset_tuning.mini.vocabulary import CUES

_PROBE_SEED = 99
N_DOCUMENTS = 64
N_COPIED_WORDS = 10
N_INSTRUCTIONS = 200
N_PAIRS = 1500
KNOWLEDGE_PROBES = ("opposite", "count", "plus", "reverse", "repeat", "is")


def base_probes() -> Mapping[str, list[Document]]:
    """Return the probe documents of the base model by name; their last segment is the answer."""
    generator = random.Random(_PROBE_SEED)
    probes = {}
    for domain in RELATIONS:
        for count in (1, 5):
            probes[f"{domain}, {count} passages"] = [
                reading_probe(generator, domain, count) for _ in range(N_DOCUMENTS)
            ]
        probes[f"{domain}, clue"] = [
            reading_probe(generator, domain, 5, as_clue=True) for _ in range(N_DOCUMENTS)
        ]
        probes[f"{domain}, question context"] = [
            question_probe(generator, domain) for _ in range(N_DOCUMENTS)
        ]
    probes["copy"] = [copying(generator, N_COPIED_WORDS) for _ in range(N_DOCUMENTS)]
    for task in KNOWLEDGE_PROBES:
        probes[task] = [knowledge(generator, task) for _ in range(N_DOCUMENTS)]
    return probes


def reading_probe(
    generator: random.Random, domain: str, count: int, as_clue: bool = False
) -> Document:
    """Return passages with one question whose answer is a span of them."""
    passages = draw_passages(generator, domain, count)
    fact = generator.choice(generator.choice(passages).facts)
    question = clue(fact) if as_clue else ask(generator, fact)
    return [
        Segment(join_passages(passages)),
        *question_and_answer(question, CUES["short"], f"{fact.value}."),
    ]


def question_probe(generator: random.Random, domain: str) -> Document:
    """Return a question context of the datasets, which states the relation asked for once."""
    question = draw_question(generator, domain)
    return [
        Segment(join_passages(question.passages)),
        *question_and_answer(question.text, CUES["short"], f"{question.answer}."),
    ]


@torch.no_grad()
def answer_accuracy(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, probes: Sequence[Document]
) -> float:
    """Return the share of documents whose answer the model reproduces greedily, token by token.

    What follows the answer does not count: in training another question often does.
    """
    rows = [encode_document(tokenizer, document, context_weight=0.0) for document in probes]
    ids, weights = pad_batch([(row[:-1], weight[:-1]) for row, weight in rows])
    model.eval()
    predicted = model(input_ids=ids).logits[:, :-1].argmax(-1)
    right = (predicted == ids[:, 1:]) | (weights[:, 1:] == 0)
    return right.all(dim=1).float().mean().item()


def read_greedily(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    prompts: Sequence[str],
    max_new_tokens: int = 40,
    batch: int = 64,
) -> list[str]:
    """Return the greedy continuation of every prompt, without special tokens."""
    outputs: list[str] = []
    model.eval()
    for start in range(0, len(prompts), batch):
        rows = [
            [tokenizer.bos_token_id, *encode(tokenizer, prompt)]
            for prompt in prompts[start : start + batch]
        ]
        width = max(len(row) for row in rows)
        ids = torch.tensor([[tokenizer.pad_token_id] * (width - len(row)) + row for row in rows])
        found = model.generate(
            input_ids=ids,
            attention_mask=(ids != tokenizer.pad_token_id).long(),
            do_sample=False,
            max_new_tokens=max_new_tokens,
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
        )
        outputs += tokenizer.batch_decode(found[:, width:], skip_special_tokens=True)
    return outputs


def judged_instructions(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, new_wording: bool
) -> float:
    """Return the mean judge rating, as (rating - 1) / 9, on held-out instructions."""
    generator = random.Random(_PROBE_SEED)
    drawn = [
        draw_instruction(generator, held_out=True, new_wording=new_wording)
        for _ in range(N_INSTRUCTIONS)
    ]
    prompts = [instruction_prompt(instruction.text) for instruction in drawn]
    outputs = read_greedily(model, tokenizer, prompts)
    ratings = [
        rate(instruction.text, output).score
        for instruction, output in zip(drawn, outputs, strict=True)
    ]
    return (sum(ratings) / len(ratings) - 1) / 9


def probe_folder(folder: Path, model: str) -> list[dict[str, object]]:
    """Return the held-out figures of a stored model: rows of model, probe, n and value.

    `model` is `base` or `instruct` (instruction ratings, and for the base what it reads), or `nli`.
    """
    if model == "nli":
        return _probe_nli(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    network = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)
    rows: list[dict[str, object]] = []
    if model == "base":
        for probe, documents in base_probes().items():
            value = answer_accuracy(network, tokenizer, documents)
            rows.append({"model": model, "probe": probe, "n": len(documents), "value": value})
    for wording in ("seen", "new"):
        value = judged_instructions(network, tokenizer, wording == "new")
        probe = f"instructions in {wording} wordings"
        rows.append({"model": model, "probe": probe, "n": N_INSTRUCTIONS, "value": value})
    return rows


def _probe_nli(folder: Path) -> list[dict[str, object]]:
    """Return the NLI model's accuracy on held-out pairs of each label."""
    generator = random.Random(_PROBE_SEED)
    pairs = [draw_pair(generator) for _ in range(N_PAIRS)]
    network = BertForSequenceClassification.from_pretrained(folder).eval()
    shares = label_accuracies(network, AutoTokenizer.from_pretrained(folder), pairs)
    counts = Counter(LABELS[pair.label] for pair in pairs)
    return [
        {"model": "nli", "probe": label, "n": counts[label], "value": share}
        for label, share in shares.items()
    ]
