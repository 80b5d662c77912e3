"""What a reader makes of a raw record, before filters decide whether it becomes an example."""

import hashlib
import json
import math
import re
import sys
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

BAD_ROW = "bad_row"  # the fault of a candidate that stands for a row nobody can read

_END_OF_TEXT = "<|endoftext|>"  # Self-Instruct's completions end with it
_MEANINGFUL = "#%&*/@\\"  # signs that tell short instructions apart: C#, 3 * 4, 5 %
_SPACE = re.compile(r"\s+")


@dataclass(slots=True)
class Candidate:
    """One example in the making, with what the filters need to know about it.

    `gold_ranks` are the places (from 1) of the chosen passages that hold the answer or are marked
    as its source; `gold_retrieved` is the place of the first of them in the retrieval order, before
    it may have been promoted. `faults` names the rules of the reader's format that the record
    breaks. `group`, `rank`, `rating` and `raters` describe one of several replies to the same
    instruction.
    """

    instruction: str | None = None
    context: str | None = None
    question: str | None = None
    references: tuple[str, ...] = ()
    gold_ranks: tuple[int, ...] = ()
    gold_retrieved: int | None = None
    needs_context: bool = False
    language: str | None = None
    rating: float | None = None
    raters: int = 0
    group: str | None = None
    rank: int | None = None
    faults: frozenset[str] = frozenset()
    source_row: str = ""


def clean(value: Any) -> str:
    """Return a raw value as text; only `<|endoftext|>` and what UTF-8 cannot hold are removed.

    Null and not-a-number become "", numbers their digits; a list, an object, bytes, true, false and
    infinite numbers raise TypeError.
    """
    if type(value) is str and value.isascii():  # most texts, and quickly done with
        return value.replace(_END_OF_TEXT, "") if _END_OF_TEXT in value else value
    if value is None or value != value:  # only not-a-number differs from itself
        return ""
    if isinstance(value, list | dict | bytes | bool):
        raise TypeError(f"text expected, found {type(value).__name__}")
    if isinstance(value, float) and math.isinf(value):
        raise TypeError(f"text expected, found the number {value}")
    text = str(value).replace(_END_OF_TEXT, "")
    if text.isascii():
        return text
    # Half a surrogate pair (an emoji cut by an export) can be neither stored nor tokenised.
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def clean_all(values: Any) -> tuple[str, ...]:
    """Return the non-blank texts of a string, null or (nested) list of strings, in order."""
    if isinstance(values, list | tuple):
        return tuple(text for value in values for text in clean_all(value))
    text = clean(values)
    return (text,) if text.strip() else ()


def members(values: Any) -> list[Any]:
    """Return a list as it is; raise TypeError for anything else: a string has letters to give."""
    if not isinstance(values, list):
        raise TypeError(f"list expected, found {type(values).__name__}")
    return values


def normalise(text: str) -> str:
    """Return the text with case, white space and punctuation folded, to compare instructions.

    Signs that carry meaning in short instructions (C++ and C#, 3 * 4) stay.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    return _SPACE.sub(" ", folded.translate(_punctuation())).strip() or folded.strip()


@cache
def _punctuation() -> dict[int, str]:
    """Return the translation of every punctuation mark of Unicode to a space."""
    return {
        code: " "
        for code in range(sys.maxunicode + 1)
        if unicodedata.category(chr(code)).startswith("P") and chr(code) not in _MEANINGFUL
    }


def instruction_key(instruction: str | None, context: str | None) -> str:
    """Return what makes two instruction examples duplicates: the instruction and its input."""
    return "\x1f".join(normalise(part) if part else "" for part in (instruction, context))


def content_id(
    dataset: str,
    kind: str,
    instruction: str | None,
    context: str | None,
    question: str | None,
    references: Sequence[str],
) -> str:
    """Return an example's id: 16 hexadecimal digits of a hash of its content."""
    content = json.dumps([dataset, kind, instruction, context, question, list(references)])
    return hashlib.blake2b(content.encode(), digest_size=8).hexdigest()


def split_key(dataset: str, candidate: Candidate) -> str:
    """Return the text by which a hash split places an example.

    Examples with the same instruction, question or (in summarization) document fall on one side.
    """
    text = candidate.instruction or candidate.question or candidate.context or ""
    return f"{dataset}\x1f{normalise(text)}"


def compared_text(instruction: str | None, question: str | None, context: str | None) -> str:
    """Return what makes two examples the same task: the text that leakage is looked for in.

    An instruction with its input, a question (whatever its passages, so that a question asked again
    over other passages is found), or a document to be summarised.
    """
    if instruction:
        return f"{instruction}\n{context}" if context else instruction
    return question or context or ""


class Identified:
    """A candidate with its content's id, which is worked out when it is first asked for."""

    __slots__ = ("_dataset", "_example_id", "_kind", "candidate")

    def __init__(self, candidate: Candidate, dataset: str, kind: str) -> None:
        self.candidate = candidate
        self._dataset, self._kind = dataset, kind
        self._example_id: str | None = None

    @property
    def example_id(self) -> str:
        """The hash of the candidate's content; most candidates are dropped without it."""
        if self._example_id is None:
            found = self.candidate
            self._example_id = content_id(
                self._dataset,
                self._kind,
                found.instruction,
                found.context,
                found.question,
                found.references,
            )
        return self._example_id

    @property
    def order(self) -> tuple[Any, ...]:
        """What one of several alike is chosen by: the id, then the marks that filters look at."""
        found = self.candidate
        marks = (found.needs_context, found.language or "", found.rating or 0.0, found.raters)
        return (self.example_id, found.gold_ranks, sorted(found.faults), *marks)
