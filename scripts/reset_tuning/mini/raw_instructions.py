"""Raw files of the seven instruction sources.

Every training instruction belongs to one source by a hash of its text, so that the union of the
sources loses nothing as duplicates but the few that are written on purpose.
"""

import random
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from reset_tuning.mini.contexts import draw_article, draw_question
from reset_tuning.mini.documents import join_passages
from reset_tuning.mini.instructions import NON_ANSWER, Instruction, draw_instruction, wrong_answer
from reset_tuning.mini.people import SOURCES, human_answer
from reset_tuning.mini.prompts import task_texts
from reset_tuning.mini.raw_rows import (
    RawSplit,
    Row,
    duplicate,
    hexadecimal,
    write_json,
    write_json_lines,
)
from reset_tuning.seeds import draw_seed

SHAREGPT_MIN_WORDS = 10
END_OF_TEXT = "<|endoftext|>"
N_SEED_TASKS = 40

DOLLY_CATEGORIES = (
    "open_qa",
    "general_qa",
    "brainstorming",
    "creative_writing",
    "classification",
)
DOLLY_CONTEXT_CATEGORIES = ("closed_qa", "information_extraction", "summarization")
VICUNA_CATEGORIES = (
    "generic",
    "knowledge",
    "roleplay",
    "common-sense",
    "fermi",
    "counterfactual",
    "coding",
    "math",
    "writing",
)


class InstructionStream:
    """Draws instructions that no earlier row of the split has.

    Training instructions must belong to the dataset; held-out ones belong to nobody.
    """

    def __init__(self, split: RawSplit, new_wording_rate: float = 0.0, opener_rate: float = 0.0):
        self._dataset = split.dataset
        self._held_out = not split.is_train
        self._new_wording_rate = new_wording_rate
        self._opener_rate = opener_rate
        self._seen: set[str] = set()

    def draw(self, generator: random.Random) -> Instruction:
        """Return a new instruction."""
        while True:
            instruction = draw_instruction(
                generator,
                held_out=self._held_out,
                new_wording=generator.random() < self._new_wording_rate,
                opener_rate=self._opener_rate,
            )
            if instruction.text not in self._seen and self._owned(instruction.text):
                self._seen.add(instruction.text)
                return instruction

    def _owned(self, text: str) -> bool:
        return self._held_out or owner_of(text) == self._dataset


def owner_of(text: str) -> str:
    """Return the training source that an instruction belongs to."""
    names = sorted(SOURCES)
    return names[draw_seed(0, text, "miniature owner") % len(names)]


def _training_stream(split: RawSplit) -> InstructionStream:
    return InstructionStream(split, opener_rate=SOURCES[split.dataset].opener_rate)


def _answer(split: RawSplit, generator: random.Random, instruction: Instruction) -> str:
    return human_answer(generator, instruction, SOURCES[split.dataset], split.noise)


def _reading_task(generator: random.Random) -> tuple[str, str, str]:
    """Return an instruction that comes with a context: instruction, context, answer."""
    if generator.random() < 0.5:
        question = draw_question(generator, "person", n_passages=2)
        return question.text, join_passages(question.passages), question.sentence
    article = draw_article(generator, "place", "article")
    return task_texts()["summarize"], article.text, " ".join(article.summary)


def write_dolly(split: RawSplit) -> list[Path]:
    """Write Dolly's jsonl: instruction, context, response, category."""
    stream = _training_stream(split)

    def usable(generator: random.Random, _: int) -> Row:
        instruction = stream.draw(generator)
        return {
            "instruction": instruction.text,
            "context": "",
            "response": _answer(split, generator, instruction),
            "category": generator.choice(DOLLY_CATEGORIES),
        }

    def with_context(generator: random.Random, _: int, __: list[Row]) -> Row:
        text, context, answer = _reading_task(generator)
        category = generator.choice(DOLLY_CONTEXT_CATEGORIES)
        return {"instruction": text, "context": context, "response": answer, "category": category}

    def unanswered(generator: random.Random, _: int, __: list[Row]) -> Row:
        text = draw_instruction(generator).text
        return {"instruction": text, "context": "", "response": " ", "category": "open_qa"}

    rows = split.rows(usable, [with_context, with_context, unanswered, duplicate])
    return [write_json_lines(split.folder / "databricks-dolly-15k.jsonl", rows)]


def write_sharegpt(split: RawSplit) -> list[Path]:
    """Write ShareGPT's json: a list of conversations with turns from human and gpt.

    Some start in the middle, with an answer or a system turn; half go on after the first pair.
    Short answers are as common as with people and do not count as usable.
    """
    stream = _training_stream(split)

    def usable(generator: random.Random, index: int) -> Row:
        while True:
            instruction = stream.draw(generator)
            answer = _answer(split, generator, instruction)
            if len(answer.split()) > SHAREGPT_MIN_WORDS:
                break
        before = generator.choices(
            [[], [("gpt", _small_talk(generator))], [("system", "Answer the question.")]],
            [0.85, 0.12, 0.03],
        )[0]
        pair = [("human", instruction.text), ("gpt", answer)]
        return _conversation(split, index, [*before, *pair, *_more_turns(generator)])

    def short(generator: random.Random, index: int, _: list[Row]) -> Row:
        instruction = draw_instruction(generator)
        turns = [("human", instruction.text), ("gpt", instruction.answer(generator))]
        return _conversation(split, index, turns)

    def unanswered(generator: random.Random, index: int, _: list[Row]) -> Row:
        return _conversation(split, index, [("human", draw_instruction(generator).text)])

    rows = list(split.rows(usable, [short] * 6 + [unanswered, duplicate]))
    return [write_json(split.folder / "ShareGPT_V3_unfiltered_cleaned_split.json", rows)]


def _conversation(split: RawSplit, index: int, turns: list[tuple[str, str]]) -> Row:
    """Return a conversation record in ShareGPT's form."""
    return {
        "id": f"{hexadecimal(split.seed, 'sharegpt', index, length=7)}_0",
        "conversations": [{"from": speaker, "value": text} for speaker, text in turns],
    }


def _small_talk(generator: random.Random) -> str:
    """Return an answer to something that was asked earlier."""
    return draw_instruction(generator).answer(generator)


def _more_turns(generator: random.Random) -> list[tuple[str, str]]:
    """Return a second exchange for half of the conversations."""
    if generator.random() < 0.5:
        return []
    instruction = draw_instruction(generator)
    return [("human", instruction.text), ("gpt", instruction.answer(generator))]


def write_self_instruct(split: RawSplit) -> list[Path]:
    """Write Self-Instruct's jsonl: instruction, input, output, some ended by <|endoftext|>."""
    rows = _self_instruct_rows(split)
    return [write_json_lines(split.folder / "all_instances_82K.jsonl", rows)]


def _self_instruct_rows(split: RawSplit) -> Iterator[Row]:
    stream = _training_stream(split)

    def usable(generator: random.Random, _: int) -> Row:
        instruction = stream.draw(generator)
        end = END_OF_TEXT if generator.random() < 0.3 else ""
        output = _answer(split, generator, instruction) + end
        return {"instruction": instruction.text, "input": "", "output": output}

    def unanswered(generator: random.Random, _: int, __: list[Row]) -> Row:
        output = generator.choice(("", END_OF_TEXT))
        return {"instruction": draw_instruction(generator).text, "input": "", "output": output}

    return split.rows(usable, [_with_input, _with_input, unanswered, duplicate])


def _with_input(generator: random.Random, _: int, __: list[Row]) -> Row:
    """Return a record whose instruction needs its input."""
    text, context, answer = _reading_task(generator)
    return {"instruction": text, "input": context, "output": answer}


def write_oasst1(split: RawSplit) -> list[Path]:
    """Write OASST-1's jsonl of messages: trees of a prompt, ranked replies and further turns."""
    stream = _training_stream(split)

    def usable(generator: random.Random, index: int) -> Row:
        instruction = stream.draw(generator)
        tree = _Tree(split, generator, index)
        prompt = tree.add(None, instruction.text)
        first = tree.add(prompt, _answer(split, generator, instruction), _good_labels(generator))
        if generator.random() < 0.15:  # the best-ranked reply is not good enough
            bad = tree.add(prompt, wrong_answer(generator, instruction), _bad_labels(generator))
            tree.rank([bad, first])
        else:
            others = [
                tree.add(prompt, wrong_answer(generator, instruction), _bad_labels(generator))
                for _ in range(generator.randrange(3))
            ]
            tree.rank([first, *others])
        if generator.random() < 0.3:
            follow_up = draw_instruction(generator)
            asked = tree.add(first, follow_up.text)
            reply = tree.add(asked, follow_up.answer(generator), _good_labels(generator))
            tree.rank([reply])
        return tree.messages

    trees = split.rows(
        usable, [_foreign(split), _unrated(split), _deleted(split), _no_reply(split)]
    )
    messages = (message for tree in trees for message in tree)
    return [write_json_lines(split.folder / "2023-04-12_oasst_ready.messages.jsonl", messages)]


Labels = dict[str, tuple[float | None, int]]


class _Tree:
    """A conversation tree under construction."""

    def __init__(self, split: RawSplit, generator: random.Random, index: int, lang: str = "en"):
        self._generator = generator
        self._lang = lang
        self._date = f"2023-02-{1 + index % 28:02d}T12:00:00.000000+00:00"
        self.messages: list[dict[str, Any]] = []

    def add(
        self,
        parent: dict[str, Any] | None,
        text: str,
        labels: Labels | None = None,
        deleted: bool = False,
    ) -> dict[str, Any]:
        """Add a message: the root, or an answer to `parent` by the other side."""
        asked = parent is None or parent["role"] == "assistant"
        identity = self._identifier()
        message = {
            "message_id": identity,
            "parent_id": parent["message_id"] if parent else None,
            "user_id": self._identifier(),
            "created_date": self._date,
            "text": text,
            "role": "prompter" if asked else "assistant",
            "lang": self._lang,
            "review_count": 3,
            "review_result": True,
            "deleted": deleted,
            "rank": None,
            "synthetic": False,
            "model_name": None,
            "detoxify": dict.fromkeys(_DETOXIFY, 0.001),
            "message_tree_id": self.messages[0]["message_id"] if self.messages else identity,
            "tree_state": "ready_for_export",
            "emojis": {"name": ["+1"], "count": [1 + self._generator.randrange(5)]},
            "labels": _label_columns(labels or _good_labels(self._generator)),
        }
        self.messages.append(message)
        return message

    def rank(self, replies: list[dict[str, Any]]) -> None:
        """Number sibling replies from the best, 0."""
        for place, reply in enumerate(replies):
            reply["rank"] = place

    def _identifier(self) -> str:
        return str(uuid.UUID(int=self._generator.getrandbits(128), version=4))


_DETOXIFY = (
    "toxicity",
    "severe_toxicity",
    "obscene",
    "identity_attack",
    "insult",
    "threat",
    "sexual_explicit",
)


def _label_columns(labels: Labels) -> dict[str, list[Any]]:
    """Return labels as OASST-1 stores them: names, values and counts side by side."""
    return {
        "name": list(labels),
        "value": [value for value, _ in labels.values()],
        "count": [count for _, count in labels.values()],
    }


def _good_labels(generator: random.Random) -> Labels:
    """Return labels that pass the paper's filter."""
    quality = generator.choice((0.5833333333333334, 0.75, 0.875, 1.0))
    return {
        "spam": (0.0, 3),
        "lang_mismatch": (0.0, 3),
        "quality": (quality, generator.randint(2, 4)),
        "toxicity": (0.0, 3),
    }


def _bad_labels(generator: random.Random) -> Labels:
    """Return labels that fail it: rated low, by one person only, or not at all."""
    qualities: list[tuple[float | None, int]] = [(0.25, 3), (0.5, 3), (0.75, 1), (None, 0)]
    quality = generator.choice(qualities)
    return {"spam": (0.0, 3), "quality": quality, "toxicity": (0.0, 3)}


DirtyTree = Callable[[random.Random, int, list[Row]], Row]


def _foreign(split: RawSplit) -> DirtyTree:
    """Return a writer of trees that are marked as written in another language."""

    def write(generator: random.Random, index: int, _: list[Row]) -> Row:
        instruction = draw_instruction(generator)
        tree = _Tree(split, generator, index, lang=generator.choice(("de", "es", "ru")))
        prompt = tree.add(None, instruction.text)
        tree.rank([tree.add(prompt, instruction.answer(generator))])
        return tree.messages

    return write


def _unrated(split: RawSplit) -> DirtyTree:
    """Return a writer of trees without a reply that is rated well by two people."""

    def write(generator: random.Random, index: int, _: list[Row]) -> Row:
        instruction = draw_instruction(generator)
        tree = _Tree(split, generator, index)
        prompt = tree.add(None, instruction.text)
        reply = tree.add(prompt, wrong_answer(generator, instruction), _bad_labels(generator))
        tree.rank([reply])
        if generator.random() < 0.3:
            reply["labels"] = None
        return tree.messages

    return write


def _deleted(split: RawSplit) -> DirtyTree:
    """Return a writer of trees whose only reply was deleted."""

    def write(generator: random.Random, index: int, _: list[Row]) -> Row:
        tree = _Tree(split, generator, index)
        prompt = tree.add(None, draw_instruction(generator).text)
        tree.add(prompt, NON_ANSWER, deleted=True)
        return tree.messages

    return write


def _no_reply(split: RawSplit) -> DirtyTree:
    """Return a writer of prompts that nobody answered."""

    def write(generator: random.Random, index: int, _: list[Row]) -> Row:
        tree = _Tree(split, generator, index)
        tree.add(None, draw_instruction(generator).text)
        return tree.messages

    return write


def write_alpaca(split: RawSplit) -> list[Path]:
    """Write Alpaca's json: instruction, input, output.

    As the real sets do, it shares seed tasks with Self-Instruct; some references are missing.
    """
    stream = InstructionStream(split)
    shared = _seed_tasks(split)

    def usable(generator: random.Random, _: int) -> Row:
        instruction = stream.draw(generator)
        output = "" if generator.random() < 0.03 else instruction.answer(generator)
        return {"instruction": instruction.text, "input": "", "output": output}

    def seed_task(generator: random.Random, _: int, __: list[Row]) -> Row:
        row = generator.choice(shared)
        return row | {"output": row["output"].removesuffix(END_OF_TEXT)}

    rows = list(split.rows(usable, [_with_input, _with_input, seed_task, duplicate]))
    return [write_json(split.folder / "alpaca_data.json", rows)]


def _seed_tasks(split: RawSplit) -> list[Row]:
    """Return the first usable rows of Self-Instruct under the same seed and noise."""
    source = RawSplit(split.folder, "self_instruct", "train", N_SEED_TASKS, split.seed, split.noise)
    return [row for row in _self_instruct_rows(source) if not row["input"] and row["output"]]


def write_vicuna_eval(split: RawSplit) -> list[Path]:
    """Write Vicuna-eval's jsonl: question_id, category, turns; half in new wordings."""
    stream = InstructionStream(split, new_wording_rate=0.5)

    def usable(generator: random.Random, index: int) -> Row:
        return {
            "question_id": index + 1,
            "category": VICUNA_CATEGORIES[index % len(VICUNA_CATEGORIES)],
            "turns": [stream.draw(generator).text],
        }

    return [write_json_lines(split.folder / "question.jsonl", split.rows(usable, []))]


def write_koala_eval(split: RawSplit) -> list[Path]:
    """Write Koala's jsonl: id, prompt; mostly in new wordings and often with a polite opener."""
    stream = InstructionStream(split, new_wording_rate=0.6, opener_rate=0.5)

    def usable(generator: random.Random, index: int) -> Row:
        return {"id": f"koala_{index}", "prompt": stream.draw(generator).text}

    def repeated(generator: random.Random, index: int, done: list[Row]) -> Row:
        return generator.choice(done) | {"id": f"koala_{index}"}

    rows = split.rows(usable, [repeated])
    return [write_json_lines(split.folder / "koala_test_set.jsonl", rows)]
