"""Readers of instruction sets that hold one example a record."""

import re
from collections.abc import Iterator
from typing import Any

from reset_tuning.data.candidates import Candidate, clean, clean_all, members
from reset_tuning.data.readers.formats import Format, ReaderOptions, signatures
from reset_tuning.data.rows import Record

_HUMAN = {"human", "user"}
_ASSISTANT = {"gpt", "chatgpt", "assistant", "bing", "bard"}
_INSTANCE = ("input", "output")
_CHUNK = re.compile(r"_(\d+)$")
_OUTPUT = re.compile(r"\s*Output:\s*$")
_INPUT = re.compile(r"^Input:\s*")

# Dolly's categories that are about a given text, by the instructions its writers were given.
_DOLLY_WITH_CONTEXT = {"closed_qa", "information_extraction", "summarization"}


def _example(instruction: Any, context: Any, response: Any, **more: Any) -> Candidate:
    """Return an instruction candidate; a blank input is no context."""
    text = clean(context)
    return Candidate(
        instruction=clean(instruction),
        context=text if text.strip() else None,
        references=clean_all(response),
        **more,
    )


def read_alpaca(record: Record, options: ReaderOptions) -> Iterator[Candidate]:
    """Yield the example of an {instruction, input, output} record."""
    yield _example(record["instruction"], record["input"], record["output"])


def read_dolly(record: Record, options: ReaderOptions) -> Iterator[Candidate]:
    """Yield the example of a Dolly record, with its own or the renamed Alpaca keys."""
    official = "response" in record
    yield _example(
        record["instruction"],
        record["context" if official else "input"],
        record["response" if official else "output"],
        needs_context=record.get("category") in _DOLLY_WITH_CONTEXT,
    )


def instances_of(record: Record) -> Iterator[tuple[str, Any]]:
    """Yield a record itself, or a task once for each of its instances."""
    if "instances" not in record:
        yield "", record
        return
    # A task without instances is kept as one without a response, so that a filter counts it.
    instances = record["instances"] or [{"input": None, "output": None}]
    for number, instance in enumerate(members(instances), start=1):
        yield str(number), record | {"instances": [instance]}


def instance_of(record: Record) -> Record:
    """Return a record itself, or the instance of a task of one with its instruction."""
    if "instances" not in record:
        return record
    (instance,) = record["instances"]
    return {"instruction": record["instruction"], **{key: instance[key] for key in _INSTANCE}}


def read_self_instruct(record: Record, options: ReaderOptions) -> Iterator[Candidate]:
    """Yield the example of a Self-Instruct record: an instance or a prompt."""
    if "prompt" in record:
        instruction, context = _task_of_prompt(clean(record["prompt"]))
        yield _example(instruction, context, record["completion"])
    else:
        yield _example(record["instruction"], record["input"], record["output"])


def _task_of_prompt(prompt: str) -> tuple[str, str]:
    """Undo the random templates of Self-Instruct's fine-tuning file: (instruction, input).

    Its generated instructions are single lines, so whatever follows the first line is the input.
    """
    body = _OUTPUT.sub("", prompt).strip().removeprefix("Task: ")
    instruction, _, rest = body.partition("\n")
    return instruction.strip(), _INPUT.sub("", rest.strip())


def read_sharegpt(record: Record, options: ReaderOptions) -> Iterator[Candidate]:
    """Yield the first human turn that an assistant answers, with that answer.

    Records cut out of longer conversations may start with an assistant's turn; it is passed over,
    as FastChat does.
    """
    conversation = members(record["conversations"])
    turns = [turn for turn in conversation if turn["from"] in _HUMAN | _ASSISTANT]
    faults = {"later_chunk"} if options.later_chunks == "drop" and _is_later(record) else set()
    for turn, reply in zip(turns, turns[1:], strict=False):
        if turn["from"] in _HUMAN and reply["from"] in _ASSISTANT:
            yield _example(turn["value"], None, reply["value"], faults=frozenset(faults))
            return
    yield Candidate(instruction="", faults=frozenset(faults | {"no_human_assistant_pair"}))


def _is_later(record: Record) -> bool:
    """Say whether a ShareGPT record continues another one: its id ends in _1 or more."""
    chunk = _CHUNK.search(clean(record.get("id")))
    return bool(chunk) and int(chunk.group(1)) > 0


def read_questions(record: Record, options: ReaderOptions) -> Iterator[Candidate]:
    """Yield a Vicuna question (its first turn); the set has no reference answers."""
    first = members(record["turns"])[0] if "turns" in record else record["text"]
    yield _example(first, None, None)


def read_koala(record: Record, options: ReaderOptions) -> Iterator[Candidate]:
    """Yield a Koala prompt; the set has no reference answers."""
    yield _example(record["prompt"], None, None)


_ALPACA_KEYS = "instruction input output"
_DOLLY_KEYS = ("instruction context response", "instruction category input output")

FORMATS = (
    # Three formats share Alpaca's keys and read them alike; "auto" takes the first of them.
    Format("alpaca", "instruction", signatures(_ALPACA_KEYS), read_alpaca),
    Format(
        "dolly",
        "instruction",
        signatures(*_DOLLY_KEYS, _ALPACA_KEYS),
        read_dolly,
    ),
    Format(
        "self_instruct",
        "instruction",
        signatures("instruction instances", "prompt completion", _ALPACA_KEYS),
        read_self_instruct,
        expand=instances_of,
        part=instance_of,
    ),
    Format(
        "sharegpt",
        "instruction",
        signatures("conversations"),
        read_sharegpt,
        rules=("later_chunk", "no_human_assistant_pair"),
    ),
    Format(
        "questions",
        "instruction",
        signatures("question_id turns", "question_id text"),
        read_questions,
        excluded=frozenset({"answer_id", "model_id", "review_id"}),
    ),
    Format(
        "koala",
        "instruction",
        signatures("prompt"),
        read_koala,
        excluded=frozenset({"completion", "message_tree_id"}),
    ),
)
