"""Passages of question-answering examples: which are kept, and which hold the answer."""

import re
import unicodedata
from collections.abc import Callable, Sequence
from typing import NamedTuple

GOLD_RULES = ("promote", "require_in_top5")

_TOKEN = re.compile(r"\w+|[^\w\s]")


def tokens(text: str) -> list[str]:
    """Return lower-cased words and single signs, the units in which answers are looked up."""
    return _TOKEN.findall(unicodedata.normalize("NFC", text).lower())


def answer_finder(answers: Sequence[str]) -> Callable[[str], bool]:
    """Return a test whether a passage holds one of the answers as a sequence of whole tokens.

    This is the token match of DPR and RobustQA: "he" is not found in "theatre".
    """
    wanted = [found for found in map(tokens, answers) if found]
    joined = [f" {' '.join(found)} " for found in wanted]

    def holds_answer(passage: str) -> bool:
        lowered = unicodedata.normalize("NFC", passage).lower()
        likely = [
            text
            for text, found in zip(joined, wanted, strict=True)
            if all(token in lowered for token in found)
        ]
        if not likely:  # spares most passages the tokenising
            return False
        haystack = f" {' '.join(_TOKEN.findall(lowered))} "
        return any(text in haystack for text in likely)

    return holds_answer


class Chosen(NamedTuple):
    """The passages kept for a question.

    gold_ranks: places (from 1) of those that hold the answer. gold_retrieved: the place of the
    first of them in the retrieval order; below the number of passages when it was promoted.
    """

    passages: list[str]
    gold_ranks: tuple[int, ...]
    gold_retrieved: int | None


def choose_passages(
    passages: Sequence[str], is_gold: Callable[[int], bool], max_passages: int, gold: str
) -> Chosen:
    """Choose at most `max_passages` passages in retrieval order.

    `promote`: when none of them is gold, the first gold one further down replaces the last.
    `require_in_top5`: nothing is replaced, and a filter drops the example.
    """
    chosen = list(range(min(len(passages), max_passages)))
    ranks = [place for place, index in enumerate(chosen, start=1) if is_gold(index)]
    if not ranks and gold == "promote":
        further = (index for index in range(len(chosen), len(passages)) if is_gold(index))
        found = next(further, None)
        if found is not None:
            chosen[-1] = found
            ranks = [len(chosen)]
    retrieved = chosen[ranks[0] - 1] + 1 if ranks else None
    return Chosen([passages[index] for index in chosen], tuple(ranks), retrieved)


def joined(passages: Sequence[str]) -> str:
    """Return passages as a context: one a line, so that each can be told apart again."""
    return "\n".join(
        " ".join(passage.split("\n")) if "\n" in passage else passage for passage in passages
    )
