"""Prompts: the exact template, and contexts cut from their end only."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from raw_samples import example

from reset_tuning.data.prompts import (
    PromptTooLong,
    check_template,
    fitted_prompt,
    fitted_prompts,
    prompt_parts,
)
from reset_tuning.errors import InputError

QUESTION = example("1", "extractive_qa", context="One.\nTwo.", question="Who?", dataset="nq")


def render_prompt(row: dict[str, Any], template: dict, task: str | None) -> str:
    return prompt_parts(row, template, task).text


def test_instructions_stand_alone(template: dict) -> None:
    prompt = render_prompt(
        example("1", instruction="Say {input} and {instruction}."), template, None
    )
    assert prompt == (
        "Below is an instruction that describes a task. Write a response that appropriately "
        "completes the request.\n\n### Instruction:\n"
        "Say {input} and {instruction}.\n\n### Response:"
    )


def test_questions_follow_their_passages(template: dict) -> None:
    prompt = render_prompt(QUESTION, template, "Extract.")
    assert prompt.endswith(
        "further context. Write a response that appropriately completes the request.\n\n"
        "### Instruction:\nExtract.\n\n### Input:\nOne.\nTwo.\n\nQuestion: Who?\n\n### Response:"
    )


def test_documents_have_no_question_and_nulls_are_empty(template: dict) -> None:
    row = example("1", "summarization", context="A text.", question=float("nan"))
    assert render_prompt(row, template, "Sum up.").endswith(
        "### Instruction:\nSum up.\n\n### Input:\nA text.\n\n### Response:"
    )


def test_an_instruction_with_its_context_uses_it(template: dict) -> None:
    row = example("1", instruction="Translate.", context="Hola")
    assert "### Instruction:\nTranslate.\n\n### Input:\nHola\n" in render_prompt(
        row, template, None
    )


def test_context_kinds_need_a_task(template: dict) -> None:
    with pytest.raises(InputError, match="dataset nq has no task text"):
        render_prompt(QUESTION, template, None)


@pytest.mark.parametrize(
    "broken",
    [
        {"with_input": "{instruction}{input}"},
        {"with_input": "{input}", "without_input": "{instruction}"},
        {"with_input": "{instruction}{input}{input}", "without_input": "{instruction}"},
    ],
)
def test_templates_need_their_placeholders(broken: dict) -> None:
    with pytest.raises(InputError, match="prompt template"):
        check_template(broken)


def n_tokens(text: str, tokenizer: Any) -> int:
    return len(tokenizer(text, add_special_tokens=False)["input_ids"]) + 1  # and BOS


def test_what_fits_is_left_alone(tokenizer: Any, template: dict) -> None:
    whole = render_prompt(QUESTION, template, "Extract.")
    fitted = fitted_prompt(QUESTION, template, "Extract.", tokenizer, n_tokens(whole, tokenizer))
    assert (fitted.text, fitted.n_context_tokens_cut) == (whole, 0)
    assert fitted.n_tokens == n_tokens(whole, tokenizer)


@settings(max_examples=80)
@given(st.text(max_size=200), st.integers(0, 120), st.text(max_size=10))
def test_only_the_end_of_the_context_is_cut(
    tokenizer: Any, template: dict, context: str, room: int, question: str
) -> None:
    row = QUESTION | {"context": context, "question": question}
    parts = prompt_parts(row, template, "Extract.")
    bare = n_tokens(parts.head + parts.tail, tokenizer)
    fitted = fitted_prompt(row, template, "Extract.", tokenizer, bare + room)
    assert fitted.n_tokens == n_tokens(fitted.text, tokenizer) <= bare + room
    assert fitted.text.startswith(parts.head) and fitted.text.endswith(parts.tail)
    kept = fitted.text[len(parts.head) : len(fitted.text) - len(parts.tail)]
    assert context.startswith(kept)
    assert fitted.n_context_tokens_cut == n_tokens(parts.text, tokenizer) - fitted.n_tokens
    # No more is cut than a few tokens that joined at the cut.
    if kept != context:
        assert fitted.n_tokens >= bare + room - 4


@settings(max_examples=60)
@given(
    st.lists(st.text("abc de", min_size=1, max_size=60), min_size=1, max_size=5),
    st.sets(st.integers(1, 5), min_size=1),
    st.integers(0, 120),
)
def test_the_passage_with_the_answer_survives(
    tokenizer: Any, template: dict, passages: list[str], places: set[int], room: int
) -> None:
    gold = sorted(place for place in places if place <= len(passages)) or [1]
    row = QUESTION | {"context": "\n".join(passages), "gold_passages": gold}
    parts = prompt_parts(row, template, "Extract.")
    bare = n_tokens(parts.head + parts.tail, tokenizer)
    first = passages[gold[0] - 1]
    try:
        fitted = fitted_prompt(row, template, "Extract.", tokenizer, bare + room)
    except PromptTooLong:
        # Not even the one passage fits beside the rest.
        assert n_tokens(parts.head + first + parts.tail, tokenizer) > bare + room
        return
    kept = fitted.text[len(parts.head) : len(fitted.text) - len(parts.tail)]
    assert first in kept.split("\n")
    assert fitted.n_tokens == n_tokens(fitted.text, tokenizer) <= bare + room


@pytest.mark.parametrize(
    ("references", "kept"),
    [(["Big Apple", "New York"], 3), (["New York", "Big Apple"], 1), (["Neither"], 1), ([], 1)],
)
def test_the_passage_with_the_response_survives(
    tokenizer: Any, template: dict, references: list[str], kept: int
) -> None:
    """Several references in several passages: the one that is trained on must not be cut away."""
    passages = ["New York is the city.", "Many roads lead there.", "It is called the Big Apple."]
    context = {"context": "\n".join(passages), "gold_passages": [1, 3], "references": references}
    row = QUESTION | context
    whole = n_tokens(render_prompt(row, template, "Extract."), tokenizer)
    assert fitted_prompt(row, template, "Extract.", tokenizer, whole).n_context_tokens_cut == 0
    bare = n_tokens(render_prompt(row | {"context": ""}, template, "Extract."), tokenizer)
    room = max(n_tokens(passage, tokenizer) for passage in passages)
    text = fitted_prompt(row, template, "Extract.", tokenizer, bare + room).text
    assert passages[kept - 1] in text
    assert sum(passage in text for passage in passages) == 1


def test_other_passages_are_cut_from_the_last_on(tokenizer: Any, template: dict) -> None:
    passages = [f"passage {name} of the text" for name in "abcde"]
    row = QUESTION | {"context": "\n".join(passages), "gold_passages": [4]}
    whole = n_tokens(render_prompt(row, template, "Extract."), tokenizer)
    last = n_tokens("\n" + passages[4], tokenizer) - 1
    text = fitted_prompt(row, template, "Extract.", tokenizer, whole - last).text
    assert passages[4] not in text
    assert all(passage in text for passage in passages[:4])
    text = fitted_prompt(row, template, "Extract.", tokenizer, whole - 3 * last).text
    assert passages[3] in text and passages[2] not in text


def test_passages_with_the_answer_are_cut_after_those_without(
    tokenizer: Any, template: dict
) -> None:
    passages = [f"passage {name} of the text" for name in "abcde"]
    row = QUESTION | {"context": "\n".join(passages), "gold_passages": [1, 4]}
    kept = row | {"context": "\n".join(passages[place] for place in (0, 1, 3))}
    limit = n_tokens(render_prompt(kept, template, "Extract."), tokenizer)
    text = fitted_prompt(row, template, "Extract.", tokenizer, limit).text
    assert [passage in text for passage in passages] == [True, True, False, True, False]


def test_an_answer_that_does_not_fit_whole_is_cut_only_where_asked(
    tokenizer: Any, template: dict
) -> None:
    passages = ["short one here", "the answer is far away " * 30]
    row = QUESTION | {"context": "\n".join(passages), "gold_passages": [2]}
    bare = n_tokens(render_prompt(row | {"context": ""}, template, "Extract."), tokenizer)

    def fitted(row: dict, limit: int, **how: bool) -> Any:
        return fitted_prompts([row], template, {"nq": "Extract."}, tokenizer, [limit], **how)[0]

    assert fitted(row, bare + 40) is None
    cut = fitted(row, bare + 40, cut_answers=True)
    alone = fitted(row | {"context": passages[1], "gold_passages": None}, bare + 40)
    assert cut.text == alone.text and passages[1][:40] in cut.text and passages[0] not in cut.text
    assert cut.is_answer_cut and cut.n_context_tokens_cut > 0
    assert fitted(row, bare - 1, cut_answers=True) is None
    whole = n_tokens(render_prompt(row, template, "Extract."), tokenizer)
    left = fitted(row, whole - 1, cut_answers=True)
    assert left == fitted(row, whole - 1) and not left.is_answer_cut


def test_instruction_and_question_are_never_cut(tokenizer: Any, template: dict) -> None:
    long_question = QUESTION | {"question": "who " * 50}
    for row in (long_question, example("1", instruction="say " * 200)):
        with pytest.raises(PromptTooLong):
            fitted_prompt(row, template, "Extract.", tokenizer, 100)


def test_many_prompts_are_fitted_as_one_by_one(tokenizer: Any, template: dict) -> None:
    rows = [QUESTION | {"context": "word " * n} for n in (1, 50, 100)] + [
        example("1", instruction="say " * n) for n in (1, 400)
    ]
    limits = [400, 230, 250, 300, 300]
    many = fitted_prompts(rows, template, {"nq": "Extract."}, tokenizer, limits)
    for row, limit, found in zip(rows[:4], limits, many, strict=False):
        task = "Extract." if row["dataset"] == "nq" else None
        assert found == fitted_prompt(row, template, task, tokenizer, limit)
    assert many[4] is None
    assert many[1] is not None and many[1].n_context_tokens_cut > 0
