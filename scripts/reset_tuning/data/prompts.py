"""Prompts in the Alpaca template, and contexts cut so that they fit.

One rendering serves training and evaluation. When a prompt is too long its context is cut; header,
instruction and question always stay whole. A document is cut from its end. Of passages those
without the answer are cut first, from the last on, and the first one with it stays whole: the one
with the reference that is trained on, if some passage holds just that. A prompt for which that one
is too long is no use in training; in a test it is the context, cut from its end.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from reset_tuning.data.passages import answer_finder
from reset_tuning.errors import InputError
from reset_tuning.tokenizing import load_tokenizer

_BATCH = 1000  # texts tokenised at once: enough for the tokenizer's threads, little memory
INSTRUCTION_KIND = "instruction"


class PromptTooLong(ValueError):
    """The prompt does not fit even with an empty context."""


@dataclass(frozen=True)
class FittedPrompt:
    """A prompt that fits: its text, its tokens (BOS included) and the tokens cut to make it fit.

    is_answer_cut: whether the passage with the answer was cut too, the last one that was left.
    """

    text: str
    n_tokens: int
    n_context_tokens_cut: int
    is_answer_cut: bool = False


class PromptParts(NamedTuple):
    """A prompt around its context; only the context may be cut.

    gold: places (from 1) of the context's lines that are passages with the answer.
    response: the first reference, which is what a model is trained to answer; "" without one.
    """

    head: str
    context: str
    tail: str
    gold: tuple[int, ...] = ()
    response: str = ""

    @property
    def text(self) -> str:
        """The whole prompt."""
        return self.head + self.context + self.tail


@dataclass(frozen=True)
class PromptSettings:
    """How rows are rendered and measured.

    tasks: the task text of each context dataset. max_length: tokens of prompt and response.
    """

    tokenizer: Any
    template: Mapping[str, str]
    tasks: Mapping[str, str]
    max_length: int

    @property
    def n_end_tokens(self) -> int:
        """The tokens that end a response."""
        return int(self.tokenizer.eos_token_id is not None)


def cutting_tokenizer(path: str) -> Any:
    """Return the tokenizer of a model; raise InputError when it is missing or has no offsets."""
    tokenizer = load_tokenizer(path)
    if not tokenizer.is_fast:
        raise InputError(f"tokenizer {path} has no tokenizer.json, which cutting contexts needs")
    # Long documents are cut by fitted_prompt; the tokenizer's own warning would mislead.
    tokenizer.model_max_length = int(1e9)
    return tokenizer


def check_template(template: Mapping[str, str]) -> None:
    """Raise InputError unless both forms hold each of their placeholders once."""
    needed = {"with_input": ("{instruction}", "{input}"), "without_input": ("{instruction}",)}
    for form, placeholders in needed.items():
        for placeholder in placeholders:
            if str(template.get(form, "")).count(placeholder) != 1:
                raise InputError(f"prompt template: {form} must hold {placeholder} once")


def prompt_parts(
    example: Mapping[str, Any], template: Mapping[str, str], task: str | None
) -> PromptParts:
    """Return an example's prompt as what stands before the context, the context, and what follows.

    Instructions use `without_input`. The other kinds use `with_input`: the instruction is the
    dataset's `task` text, the input the context, then a blank line and "Question: …" if there is
    a question. An instruction whose context was kept (no `has_context` filter) uses it as input.
    """
    context, question = _text(example["context"]), _text(example["question"])
    if example["kind"] == INSTRUCTION_KIND:
        instruction = _text(example["instruction"])
        if not context:
            return PromptParts(_filled(template["without_input"], instruction), "", "")
    elif task:
        instruction = task
    else:
        raise InputError(f"dataset {example['dataset']} has no task text for its prompts")
    before, after = template["with_input"].split("{input}")
    tail = f"\n\nQuestion: {question}" if question else ""
    head, tail = _filled(before, instruction), tail + _filled(after, instruction)
    references = example.get("references")
    response = references[0] if references is not None and len(references) else ""
    return PromptParts(head, context, tail, _places(example.get("gold_passages")), response)


def _filled(template: str, instruction: str) -> str:
    return template.replace("{instruction}", instruction)


def _text(value: Any) -> str:
    """Return a table's text, "" for its nulls (None or not-a-number)."""
    return value if isinstance(value, str) else ""


def _places(value: Any) -> tuple[int, ...]:
    """Return a table's list of places, () for its nulls."""
    return tuple(int(place) for place in value) if hasattr(value, "__len__") else ()


def fitted_prompt(
    example: Mapping[str, Any],
    template: Mapping[str, str],
    task: str | None,
    tokenizer: Any,
    max_prompt_tokens: int,
) -> FittedPrompt:
    """Return an example's prompt of at most `max_prompt_tokens` tokens, BOS included.

    Only the context is cut. Raises PromptTooLong when the rest, with the first passage that holds
    the answer if there is one, does not fit: the mixture drops such a row under the rule
    `prompt_too_long`, and evaluation writes an empty output that ended by `prompt_too_long`.
    """
    parts = prompt_parts(example, template, task)
    (n_tokens,) = count_prompt_tokens([parts.text], tokenizer)
    return _fit(parts, n_tokens, tokenizer, max_prompt_tokens)


def fitted_prompts(
    examples: Sequence[Mapping[str, Any]],
    template: Mapping[str, str],
    tasks: Mapping[str, str],
    tokenizer: Any,
    limits: Sequence[int],
    *,
    cut_answers: bool = False,
) -> list[FittedPrompt | None]:
    """Fit many prompts, each to its own limit; None stands for a prompt that is too long.

    `tasks` are the task texts by dataset. With `cut_answers` a prompt is not too long because the
    passage with the answer is: it is then all that is left of the context, cut from its end.
    Prompts are tokenised in batches, and only those that need cutting are looked at one by one.
    """
    parts = [prompt_parts(row, template, tasks.get(row["dataset"])) for row in examples]
    lengths = count_prompt_tokens([part.text for part in parts], tokenizer)
    fitted: list[FittedPrompt | None] = []
    for part, n_tokens, limit in zip(parts, lengths, limits, strict=True):
        try:
            fitted.append(_fit(part, n_tokens, tokenizer, limit, cut_answers=cut_answers))
        except PromptTooLong:
            fitted.append(None)
    return fitted


def count_tokens(texts: Iterable[str], tokenizer: Any) -> list[int]:
    """Return the number of tokens of each text, without special tokens."""
    texts = list(texts)
    counts: list[int] = []
    for start in range(0, len(texts), _BATCH):
        encoded = tokenizer(
            texts[start : start + _BATCH],
            add_special_tokens=False,
            return_attention_mask=False,
            return_token_type_ids=False,
        )
        counts.extend(map(len, encoded["input_ids"]))
    return counts


def count_prompt_tokens(prompts: Iterable[str], tokenizer: Any) -> list[int]:
    """Return the number of tokens of each prompt with the BOS token, if the tokenizer has one."""
    n_bos = int(tokenizer.bos_token_id is not None)
    return [count + n_bos for count in count_tokens(prompts, tokenizer)]


def _fit(
    parts: PromptParts, n_tokens: int, tokenizer: Any, limit: int, *, cut_answers: bool = False
) -> FittedPrompt:
    """Cut the context of a prompt of `n_tokens` tokens until the prompt fits."""
    if n_tokens <= limit:
        return FittedPrompt(parts.text, n_tokens, 0)
    (bare,) = count_prompt_tokens([parts.head + parts.tail], tokenizer)
    if bare > limit:
        raise PromptTooLong(f"{bare} tokens without context, {limit} allowed")
    if parts.gold:
        return _fit_passages(parts, n_tokens, tokenizer, limit, cut_answers=cut_answers)
    kept, left = parts, n_tokens
    # Tokens at the cut may join otherwise than in the whole text, so the result is measured again.
    while left > limit:
        kept = kept._replace(context=_shortened(kept.context, left - limit, tokenizer))
        (left,) = count_prompt_tokens([kept.text], tokenizer)
    return FittedPrompt(kept.text, left, n_tokens - left)


def _fit_passages(
    parts: PromptParts, n_tokens: int, tokenizer: Any, limit: int, *, cut_answers: bool
) -> FittedPrompt:
    """Cut passages, the least needed first; the first one with the response stays whole.

    Other references may stand in other passages; where none holds the response, as in abstractive
    sets, the first passage with an answer stays. It is cut, last of all, with `cut_answers` alone.
    """
    passages = dict(enumerate(parts.context.split("\n"), start=1))
    holds_response = answer_finder([parts.response])
    gold = sorted(parts.gold)
    needed = next((place for place in gold if holds_response(passages[place])), gold[0])
    left = n_tokens
    for place in sorted(passages, key=lambda place: (place == needed, place in gold, -place)):
        if place == needed and not cut_answers:
            break
        while place in passages and left > limit:
            passages[place] = _shortened(passages[place], left - limit, tokenizer)
            if not passages[place].strip():
                del passages[place]
            kept = parts._replace(context="\n".join(passages.values()))
            (left,) = count_prompt_tokens([kept.text], tokenizer)
            if left <= limit:
                return FittedPrompt(kept.text, left, n_tokens - left, place == needed)
    raise PromptTooLong(f"{left} tokens with the passage that holds the answer, {limit} allowed")


def _shortened(context: str, n_tokens: int, tokenizer: Any) -> str:
    """Return the context without its last `n_tokens` tokens; always shorter than it was."""
    encoded = tokenizer(context, add_special_tokens=False, return_offsets_mapping=True)
    offsets = encoded["offset_mapping"]
    if n_tokens >= len(offsets):
        return ""
    end = offsets[len(offsets) - n_tokens][0]
    return context[: min(end, len(context) - 1)]
