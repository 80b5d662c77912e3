"""The rule-based judge of the miniature world.

It reads the instruction's text, works out what was asked, and grades the answer: one point, up
to seven for correctness and two for form. An instruction that is none of the world's is graded by
a plain heuristic, so that any text gets a rating; such a rating says little.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from random import Random

from reset_tuning.mini.facts import relation_of
from reset_tuning.mini.instructions import (
    Arguments,
    Instruction,
    famous_fact,
    is_member,
    parse_instruction,
    rhyming_words,
    strip_chat,
)
from reset_tuning.mini.words import CATEGORIES, NUMBER_WORDS, split_words

MODEL = "rule-judge"
STRICT_MODEL = "rule-judge-strict"
MODELS = (MODEL, STRICT_MODEL)

LOWEST, HIGHEST = 1, 10
_CORRECTNESS_POINTS = 7
_FORM_POINTS = 2
_MAX_TOKENS = 24
_STRICT_FACTOR = 0.6
_ENDS = (".", "?", "!")
_MARKS = (*_ENDS, ",", ":")
_FLAWLESS = 0.99


@dataclass(frozen=True)
class Rating:
    """A rating from 1 to 10 with its reason."""

    score: int
    explanation: str

    @property
    def reply(self) -> str:
        """The rating in the words that the judge's prompt asks for."""
        return f"{self.explanation} Rating: [[{self.score}]]"


def rate(question: str, answer: str, strict: bool = False) -> Rating:
    """Rate an answer to an instruction.

    The ordinary judge ignores chatty words around an answer. The strict one takes two fifths of
    the correctness from every answer that has a flaw or is not given directly.
    """
    instruction = parse_instruction(question)
    direct = strip_chat(answer)
    correct = _correctness(instruction, direct) if instruction else _plausibility(question, direct)
    if strict and (correct < _FLAWLESS or direct != answer.strip()):
        correct *= _STRICT_FACTOR
    well_formed = _well_formed(direct, limit=_MAX_TOKENS if instruction else None)
    points = _CORRECTNESS_POINTS * correct + _FORM_POINTS * (well_formed and correct > 0)
    return Rating(round(LOWEST + points), _explain(instruction, correct, well_formed))


def _correctness(instruction: Instruction, answer: str) -> float:
    """Return how right an answer is, in [0, 1]."""
    words = [word for word in split_words(answer) if word not in _MARKS]
    if not words:
        return 0.0
    return _GRADES[instruction.task](instruction.arguments, words, answer)


def _well_formed(answer: str, limit: int | None) -> bool:
    """Tell whether an answer ends as a sentence does and is not too long (in tokens)."""
    tokens = split_words(answer)
    return bool(tokens) and tokens[-1] in _ENDS and (limit is None or len(tokens) <= limit)


def _explain(instruction: Instruction | None, correct: float, well_formed: bool) -> str:
    """Return one or two sentences that give the reasons of a rating."""
    if correct >= _FLAWLESS:
        verdict = "The response does what the user asked."
    elif correct > 0:
        verdict = "The response does only a part of what the user asked."
    else:
        verdict = "The response does not do what the user asked."
    if instruction is None:
        verdict = "The response was graded by its form and its overlap with the question only."
    return verdict if well_formed else f"{verdict} It is not well formed."


def _only_answer(task: str) -> Callable[[Arguments], list[str]]:
    """Return a function that gives the words of a task's single right answer."""

    def words(arguments: Arguments) -> list[str]:
        answer = Instruction(task, arguments, "").answer(Random(0))
        return [word for word in split_words(answer) if word not in _MARKS]

    return words


def _grade_list(arguments: Arguments, words: list[str], _: str) -> float:
    wanted = NUMBER_WORDS.index(arguments["n"])
    right = len(set(words) & set(CATEGORIES[arguments["c"]]))
    wrong = len(words) - right
    return max(0.0, min(right, wanted) / wanted - 0.25 * wrong - 0.25 * max(0, right - wanted))


def _grade_repeat(arguments: Arguments, words: list[str], _: str) -> float:
    if words == [arguments["w"]] * NUMBER_WORDS.index(arguments["n"]):
        return 1.0
    if set(words) == {arguments["w"]}:
        return 0.4
    return 0.1 if arguments["w"] in words else 0.0


def _grade_sequence(task: str) -> Callable[[Arguments, list[str], str], float]:
    """Return the grader of a task whose answer is a sequence: half for a right beginning."""
    target_of = _only_answer(task)

    def grade(arguments: Arguments, words: list[str], _: str) -> float:
        target = target_of(arguments)
        if words == target:
            return 1.0
        begun = 0
        for given, wanted in zip(words, target, strict=False):
            if given != wanted:
                break
            begun += 1
        return 0.5 * begun / max(len(target), len(words))

    return grade


def _grade_word(task: str) -> Callable[[Arguments, list[str], str], float]:
    """Return the grader of a task whose answer is one word: something if it is among a few."""
    target_of = _only_answer(task)

    def grade(arguments: Arguments, words: list[str], _: str) -> float:
        target = target_of(arguments)
        if words == target:
            return 1.0
        return 0.4 if target[0] in words and len(words) <= 6 else 0.0

    return grade


def _grade_rhyme(arguments: Arguments, words: list[str], _: str) -> float:
    rhymes = rhyming_words(arguments["w"])
    if len(words) == 1 and words[0] in rhymes:
        return 1.0
    return 0.4 if rhymes & set(words) and len(words) <= 4 else 0.0


def _grade_is(arguments: Arguments, words: list[str], answer: str) -> float:
    if words[0].lower() != ("yes" if is_member(arguments) else "no"):
        return 0.0
    flawless = Instruction("is", arguments, "").answer(Random(0))
    return 1.0 if answer == flawless else 0.6


def _grade_bigger(arguments: Arguments, words: list[str], _: str) -> float:
    target = str(max(int(arguments["a"]), int(arguments["b"])))
    return 1.0 if words[0] == target and len(words) <= 3 else 0.0


def _grade_plus(arguments: Arguments, words: list[str], answer: str) -> float:
    if words[-1] != str(int(arguments["a"]) + int(arguments["b"])):
        return 0.0
    flawless = Instruction("plus", arguments, "").answer(Random(0))
    return 1.0 if answer == flawless else 0.5


# Each form of a sentence about something has words that give it away.
_ABOUT_MARKS = (("can", "be", "and"), ("The", "is"), ("I", "saw", "near"), ("likes",))


def _grade_about(arguments: Arguments, words: list[str], _: str) -> float:
    if arguments["w"] not in words or not 4 <= len(words) <= 12:
        return 0.0
    sensible = any(all(mark in words for mark in marks) for marks in _ABOUT_MARKS)
    grade = 1.0 if sensible else 0.7
    return grade / 2 if max(Counter(words).values()) > 2 else grade


def _grade_greet(arguments: Arguments, words: list[str], _: str) -> float:
    greeted = "Hello" in words or ("Good" in words and "day" in words)
    return 0.5 * greeted + 0.5 * (arguments["w"] in words)


def _grade_fact(arguments: Arguments, words: list[str], answer: str) -> float:
    fact = famous_fact(arguments["q"])
    if fact is None:
        return 0.0
    forms = relation_of(fact).statements
    if answer in (form.format(e=fact.entity, v=fact.value) for form in forms):
        return 1.0
    named = all(word in words for word in fact.value.split())
    return 0.5 if named and len(words) < 10 else 0.0


_GRADES: Mapping[str, Callable[[Arguments, list[str], str], float]] = {
    "list": _grade_list,
    "repeat": _grade_repeat,
    "capitals": _grade_word("capitals"),
    "count": _grade_sequence("count"),
    "count_down": _grade_sequence("count_down"),
    "opposite": _grade_word("opposite"),
    "plural": _grade_word("plural"),
    "rhyme": _grade_rhyme,
    "is": _grade_is,
    "bigger": _grade_bigger,
    "plus": _grade_plus,
    "about": _grade_about,
    "greet": _grade_greet,
    "reverse": _grade_sequence("reverse"),
    "first": _grade_word("first"),
    "last": _grade_word("last"),
    "next_day": _grade_word("next_day"),
    "fact": _grade_fact,
}


def _plausibility(question: str, answer: str) -> float:
    """Grade an answer to an unknown instruction, in [0, 1].

    Up to 0.3 for saying something, 0.4 for words shared with the question, 0.3 for not repeating
    pairs of words.
    """
    words = [word.lower() for word in split_words(answer) if word.isalnum()]
    if not words:
        return 0.0
    asked = {word.lower() for word in split_words(question) if len(word) > 3}
    shared = len(asked & set(words)) / len(asked) if asked else 0.0
    pairs = list(pairwise(words))
    fresh = len(set(pairs)) / len(pairs) if pairs else 0.5
    return 0.3 * min(1.0, len(words) / 8) + 0.4 * min(1.0, 2 * shared) + 0.3 * fresh
