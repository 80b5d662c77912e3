"""Open-ended instructions of the miniature world: eighteen tasks, their wordings and answers.

An instruction's text alone says what is asked: `parse_instruction` recovers the task and its
arguments from any wording, seen in training or held out, and so the judge needs no other key.
"""

import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

from reset_tuning.mini.facts import FAMOUS_FACTS, Fact, relation_of, state
from reset_tuning.mini.words import (
    ADJECTIVES,
    ANIMALS,
    CAPITALS,
    CATEGORIES,
    COLORS,
    DAYS,
    ENTITIES,
    FOODS,
    JOBS,
    NUMBER_WORDS,
    OPPOSITES,
    PLAIN_WORDS,
    PLURALS,
    RHYMES,
    SINGULAR_CATEGORIES,
    SPOTS,
    TOOLS,
    with_article,
)
from reset_tuning.seeds import draw_fraction

Arguments = Mapping[str, str]

HELD_OUT_RATE = 0.15
OPENERS = ("Please help me.", "I have a question.", "Hello!", "Good day!")
NON_ANSWER = "I do not know."
CHAT_START = "Sure! Here is my answer:"
CHAT_END = "I hope this helps you!"

ABOUT_FORMS = (
    "{article} can be {adjective} and {color}.",
    "The {w} is {adjective}.",
    "I saw a {color} {w} near the {spot}.",
    "{article} likes {food}.",
)
GREETINGS = ("Hello {w}, nice to meet you.", "Good day {w}, how are you?")


@dataclass(frozen=True)
class Task:
    """One kind of instruction: wordings, how to draw arguments, and a right answer to them."""

    wordings: tuple[str, ...]
    held_out_wordings: tuple[str, ...]
    draw: Callable[[random.Random], Arguments]
    answer: Callable[[random.Random, Arguments], str]
    many_arguments: bool = False


@dataclass(frozen=True)
class Instruction:
    """One instruction: its task, the arguments, and the text with or without a polite opener."""

    task: str
    arguments: Arguments
    text: str

    def answer(self, generator: random.Random) -> str:
        """Return a right answer (several are right for some tasks; one is drawn)."""
        return TASKS[self.task].answer(generator, self.arguments)


def famous_fact(question: str) -> Fact | None:
    """Return the well-known fact that a question asks for, or None."""
    return _famous_questions().get(question)


def rhyming_words(word: str) -> set[str]:
    """Return the words that rhyme with a word."""
    return {other for group in RHYMES if word in group for other in group} - {word}


@cache
def _famous_questions() -> dict[str, Fact]:
    return {
        form.format(e=fact.entity): fact
        for fact in FAMOUS_FACTS.values()
        for form in relation_of(fact).questions
    }


def _draw_list(generator: random.Random) -> Arguments:
    return {
        "n": NUMBER_WORDS[generator.randint(2, 5)],
        "c": generator.choice(list(CATEGORIES)),
    }


def _answer_list(generator: random.Random, arguments: Arguments) -> str:
    count = NUMBER_WORDS.index(arguments["n"])
    return ", ".join(generator.sample(CATEGORIES[arguments["c"]], count)) + "."


def _draw_repeat(generator: random.Random) -> Arguments:
    return {"w": generator.choice(PLAIN_WORDS), "n": NUMBER_WORDS[generator.randint(2, 5)]}


def _answer_repeat(_: random.Random, arguments: Arguments) -> str:
    return " ".join([arguments["w"]] * NUMBER_WORDS.index(arguments["n"])) + "."


def _draw_range(generator: random.Random) -> Arguments:
    low = generator.randint(1, 14)
    return {"a": str(low), "b": str(low + generator.randint(2, 6))}


def _answer_count(_: random.Random, arguments: Arguments) -> str:
    low, high = int(arguments["a"]), int(arguments["b"])
    return " ".join(str(number) for number in range(low, high + 1)) + "."


def _answer_count_down(_: random.Random, arguments: Arguments) -> str:
    low, high = int(arguments["a"]), int(arguments["b"])
    return " ".join(str(number) for number in range(high, low - 1, -1)) + "."


def _answer_rhyme(generator: random.Random, arguments: Arguments) -> str:
    return generator.choice(sorted(rhyming_words(arguments["w"]))) + "."


def _draw_is(generator: random.Random) -> Arguments:
    kinds = [category for category in CATEGORIES if category != "days"]
    kind = generator.choice(kinds)
    if generator.random() < 0.5:
        source = kind
    else:
        source = generator.choice([category for category in kinds if category != kind])
    return {
        "w": generator.choice(CATEGORIES[source]),
        "k": with_article(SINGULAR_CATEGORIES[kind]),
    }


def is_member(arguments: Arguments) -> bool:
    """Tell whether the word of an "is" instruction belongs to the category it asks for."""
    singular = arguments["k"].split()[1]
    return arguments["w"] in CATEGORIES[f"{singular}s"]


def _answer_is(_: random.Random, arguments: Arguments) -> str:
    form = "Yes, {w} is {k}." if is_member(arguments) else "No, {w} is not {k}."
    return form.format(**arguments)


def _draw_two_numbers(generator: random.Random) -> Arguments:
    first, second = generator.sample(range(1, 21), 2)
    return {"a": str(first), "b": str(second)}


def _draw_small_numbers(generator: random.Random) -> Arguments:
    return {"a": str(generator.randint(1, 9)), "b": str(generator.randint(1, 9))}


def _answer_about(generator: random.Random, arguments: Arguments) -> str:
    word = arguments["w"]
    return generator.choice(ABOUT_FORMS).format(
        w=word,
        article=with_article(word).capitalize(),
        adjective=generator.choice(ADJECTIVES),
        color=generator.choice(COLORS),
        spot=generator.choice(SPOTS),
        food=generator.choice(FOODS),
    )


def _draw_words(generator: random.Random) -> Arguments:
    return {"s": " ".join(generator.sample(PLAIN_WORDS, generator.randint(3, 5)))}


def _answer_day(_: random.Random, arguments: Arguments) -> str:
    return DAYS[(DAYS.index(arguments["w"]) + 1) % len(DAYS)] + "."


def _answer_fact(generator: random.Random, arguments: Arguments) -> str:
    return state(generator, _famous_questions()[arguments["q"]])


def _one_word(words: tuple[str, ...]) -> Callable[[random.Random], Arguments]:
    """Return a function that draws the single argument `w` from a word list."""
    return lambda generator: {"w": generator.choice(words)}


TASKS: Mapping[str, Task] = {
    "list": Task(
        ("List {n} {c}.", "Name {n} {c}.", "Give me {n} {c}."),
        ("Write {n} {c}.",),
        _draw_list,
        _answer_list,
        many_arguments=True,
    ),
    "repeat": Task(
        ("Repeat the word {w} {n} times.", "Write the word {w} {n} times."),
        ("Say the word {w} {n} times.",),
        _draw_repeat,
        _answer_repeat,
        many_arguments=True,
    ),
    "capitals": Task(
        ("Write {w} in upper case.", "Give me {w} in capital letters."),
        ("Write the word {w} in capital letters.",),
        _one_word(tuple(CAPITALS)),
        lambda _, arguments: f"{CAPITALS[arguments['w']]}.",
    ),
    "count": Task(
        ("Count from {a} to {b}.", "Write the numbers from {a} to {b}."),
        ("List the numbers from {a} to {b}.",),
        _draw_range,
        _answer_count,
        many_arguments=True,
    ),
    "count_down": Task(
        ("Count down from {b} to {a}.", "Write the numbers down from {b} to {a}."),
        ("Give me the numbers down from {b} to {a}.",),
        _draw_range,
        _answer_count_down,
        many_arguments=True,
    ),
    "opposite": Task(
        ("What is the opposite of {w}?", "Give me the opposite of {w}."),
        ("Write the opposite of {w}.",),
        _one_word(tuple(OPPOSITES)),
        lambda _, arguments: f"{OPPOSITES[arguments['w']]}.",
    ),
    "plural": Task(
        ("What is the plural of {w}?", "Give me the plural of {w}."),
        ("Write the plural of {w}.",),
        _one_word(tuple(PLURALS)),
        lambda _, arguments: f"{PLURALS[arguments['w']]}.",
    ),
    "rhyme": Task(
        ("Give me a word that rhymes with {w}.", "Name a word that rhymes with {w}."),
        ("What rhymes with {w}?",),
        _one_word(tuple(sorted({word for group in RHYMES for word in group}))),
        _answer_rhyme,
    ),
    "is": Task(
        ("Is {w} {k}?", "Tell me if {w} is {k}."),
        ("Answer yes or no: is {w} {k}?",),
        _draw_is,
        _answer_is,
        many_arguments=True,
    ),
    "bigger": Task(
        ("Which is bigger, {a} or {b}?", "Name the bigger of {a} and {b}."),
        ("Write the bigger of {a} and {b}.",),
        _draw_two_numbers,
        lambda _, arguments: f"{max(int(arguments['a']), int(arguments['b']))} is bigger.",
        many_arguments=True,
    ),
    "plus": Task(
        ("What is {a} plus {b}?", "Add {a} and {b}."),
        ("Give me {a} plus {b}.",),
        _draw_small_numbers,
        lambda _, arguments: "{a} plus {b} is {total}.".format(
            **arguments, total=int(arguments["a"]) + int(arguments["b"])
        ),
        many_arguments=True,
    ),
    "about": Task(
        ("Write a sentence about {w}.", "Tell me something about {w}."),
        ("Give me a sentence about {w}.",),
        _one_word((*ANIMALS, *JOBS, *TOOLS)),
        _answer_about,
    ),
    "greet": Task(
        ("Greet {w}.", "Say hello to {w}."),
        ("Write a greeting to {w}.",),
        _one_word((*ENTITIES["person"], *JOBS)),
        lambda generator, arguments: generator.choice(GREETINGS).format(**arguments),
    ),
    "reverse": Task(
        ("Reverse the words: {s}.", "Write the words in reverse: {s}."),
        ("Give me the words in reverse: {s}.",),
        _draw_words,
        lambda _, arguments: " ".join(reversed(arguments["s"].split())) + ".",
        many_arguments=True,
    ),
    "first": Task(
        ("What is the first word of: {s}?", "Name the first word of: {s}."),
        ("Write the first word of: {s}.",),
        _draw_words,
        lambda _, arguments: f"{arguments['s'].split()[0]}.",
        many_arguments=True,
    ),
    "last": Task(
        ("What is the last word of: {s}?", "Name the last word of: {s}."),
        ("Write the last word of: {s}.",),
        _draw_words,
        lambda _, arguments: f"{arguments['s'].split()[-1]}.",
        many_arguments=True,
    ),
    "next_day": Task(
        ("Which day comes after {w}?", "Name the day after {w}."),
        ("What is the day after {w}?",),
        _one_word(DAYS),
        _answer_day,
    ),
    "fact": Task(
        ("{q}", "Tell me: {q}"),
        ("Answer: {q}",),
        lambda generator: {"q": generator.choice(list(_famous_questions()))},
        _answer_fact,
    ),
}


def draw_instruction(
    generator: random.Random,
    held_out: bool = False,
    new_wording: bool = False,
    task: str | None = None,
    opener_rate: float = 0.0,
) -> Instruction:
    """Draw an instruction of the training side or of the held-out side.

    Tasks with many arguments hold out argument combinations; the others hold out pairs of an
    argument and a wording. `new_wording` takes a wording that no training text uses.
    """
    while True:
        name = task or generator.choice(list(TASKS))
        arguments = TASKS[name].draw(generator)
        forms = TASKS[name].held_out_wordings if new_wording else TASKS[name].wordings
        text = generator.choice(forms).format(**arguments)
        closed_and_new = new_wording and held_out and not TASKS[name].many_arguments
        if closed_and_new or is_held_out(name, arguments, text) == held_out:
            break
    if generator.random() < opener_rate:
        text = f"{generator.choice(OPENERS)} {text}"
    return Instruction(name, arguments, text)


def is_held_out(task: str, arguments: Arguments, text: str) -> bool:
    """Tell whether an instruction (without opener) is kept from every training text."""
    if TASKS[task].many_arguments:
        text = "/".join([task, *(arguments[key] for key in sorted(arguments))])
    return draw_fraction(0, text, "miniature held-out") < HELD_OUT_RATE


def wrong_answer(generator: random.Random, instruction: Instruction) -> str:
    """Return what a careless person writes: another's answer, a slip, or no answer at all."""
    kind = generator.random()
    words = instruction.answer(generator).split()
    if kind < 0.35:
        other = draw_instruction(generator, task=instruction.task)
        return other.answer(generator)
    if kind < 0.6 and len(words) > 2:
        del words[generator.randrange(len(words) - 1)]
        return " ".join(words)
    if kind < 0.85:
        place = generator.randrange(max(1, len(words) - 1))
        words.insert(place, words[place].rstrip(".,:!?"))
        return " ".join(words)
    return NON_ANSWER


def strip_opener(text: str) -> str:
    """Return an instruction's text without its polite opener."""
    text = text.strip()
    for opener in OPENERS:
        text = text.removeprefix(opener).strip()
    return text


def strip_chat(answer: str) -> str:
    """Return an answer without the chatty words around it."""
    return answer.strip().removeprefix(CHAT_START).removesuffix(CHAT_END).strip()


def parse_instruction(text: str) -> Instruction | None:
    """Recover the task and its arguments from an instruction's text; None when it is none of ours.

    The text must match a wording, seen or held out, with arguments that the world knows.
    """
    core = strip_opener(text)
    for name, pattern in _wording_patterns():
        match = pattern.fullmatch(core)
        if match and _known(name, match.groupdict()):
            return Instruction(name, match.groupdict(), text)
    return None


_ARGUMENT_PATTERNS = {
    "n": "|".join(NUMBER_WORDS),
    "c": "|".join(CATEGORIES),
    "k": "|".join(with_article(singular) for singular in SINGULAR_CATEGORIES.values()),
    "w": r"[A-Za-z]+",
    "a": r"\d+",
    "b": r"\d+",
    "s": r"[A-Za-z]+(?: [A-Za-z]+)*",
    "q": r".+\?",
}
_KNOWN_WORDS: Mapping[str, Mapping[str, object] | set[str]] = {
    "capitals": CAPITALS,
    "opposite": OPPOSITES,
    "plural": PLURALS,
    "rhyme": {word for group in RHYMES for word in group},
    "next_day": set(DAYS),
}


@cache
def _wording_patterns() -> tuple[tuple[str, re.Pattern[str]], ...]:
    """Compile one pattern for every wording of every task; the free question comes last."""
    patterns = []
    for name, task in TASKS.items():
        for form in (*task.wordings, *task.held_out_wordings):
            pattern = re.escape(form)
            for argument, inner in _ARGUMENT_PATTERNS.items():
                pattern = pattern.replace(rf"\{{{argument}\}}", f"(?P<{argument}>{inner})")
            patterns.append((name, re.compile(pattern)))
    return tuple(patterns)


def _known(task: str, arguments: Arguments) -> bool:
    """Tell whether the world can answer a task with these arguments."""
    if task == "fact":
        return famous_fact(arguments["q"]) is not None
    if task in ("count", "count_down"):
        return int(arguments["a"]) < int(arguments["b"])
    return task not in _KNOWN_WORDS or arguments["w"] in _KNOWN_WORDS[task]
