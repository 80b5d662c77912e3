"""What the base model reads: documents in plain formats, without any instruction template.

A document is a list of segments; answers weigh fully in the loss, the rest of the text a little.
"""

import random
from dataclasses import dataclass

from reset_tuning.mini.contexts import HEADINGS, draw_article
from reset_tuning.mini.facts import (
    FAMOUS_FACTS,
    Fact,
    Passage,
    ask,
    clue,
    draw_passages,
    state,
)
from reset_tuning.mini.instructions import draw_instruction
from reset_tuning.mini.vocabulary import CUES, KNOWLEDGE_CUES, plain_words

# Persons are read about twice as often as places and drugs.
DOMAINS = ("person", "person", "place", "drug")
CLUE_RATE = 0.1


@dataclass(frozen=True)
class Segment:
    """A stretch of a document; `is_answer` marks what the model is to learn to say."""

    text: str
    is_answer: bool = False


Document = list[Segment]


def draw_document(generator: random.Random) -> Document:
    """Draw one pre-training document."""
    writers = (
        (0.42, _reading),
        (0.12, _summary),
        (0.14, copying),
        (0.06, _famous),
        (0.22, knowledge),
        (0.04, _passages_only),
    )
    (writer,) = generator.choices(
        [writer for _, writer in writers], [weight for weight, _ in writers]
    )
    return writer(generator)


def join_passages(passages: list[Passage] | tuple[Passage, ...]) -> str:
    """Join passages with line breaks."""
    return "\n".join(passage.text for passage in passages)


def _reading(generator: random.Random) -> Document:
    """Passages followed by a few questions, each with a short or a full answer."""
    domain = generator.choice(DOMAINS)
    count = generator.choice((1, 2, 3, 4, 5, 5))
    passages = draw_passages(generator, domain, count)
    document = [Segment(join_passages(passages))]
    for passage in generator.sample(passages, min(count, generator.randint(2, 4))):
        document += _question(generator, generator.choice(passage.facts))
    return document


def _question(generator: random.Random, fact: Fact) -> Document:
    """One question whose answer is known, short or full; some ask with a quiz-show clue."""
    if generator.random() < 0.5:
        asked = clue(fact) if generator.random() < CLUE_RATE else ask(generator, fact)
        return question_and_answer(asked, CUES["short"], f"{fact.value}.")
    return question_and_answer(ask(generator, fact), CUES["sentence"], state(generator, fact))


def question_and_answer(question: str, cue: str, answer: str) -> Document:
    """Return the segments of a question with its answer."""
    return [Segment(f"{CUES['question']} {question} {cue}"), Segment(answer, is_answer=True)]


def _summary(generator: random.Random) -> Document:
    """A headed text and what it says in short."""
    heading = generator.choice(list(HEADINGS))
    article = draw_article(generator, generator.choice(DOMAINS), heading)
    return [
        Segment(f"{article.text} {CUES['summary']}"),
        Segment(" ".join(article.summary), is_answer=True),
    ]


def copying(generator: random.Random, length: int | None = None) -> Document:
    """Random words, said again."""
    count = length or generator.randint(4, 18)
    text = " ".join(generator.choice(plain_words()) for _ in range(count))
    return [Segment(f"{text} {CUES['copy']}"), Segment(f"{text}.", is_answer=True)]


def _famous(generator: random.Random) -> Document:
    """A well-known fact, stated or asked for."""
    fact = generator.choice(list(FAMOUS_FACTS.values()))
    if generator.random() < 0.5:
        return [Segment(state(generator, fact), is_answer=True)]
    return question_and_answer(ask(generator, fact), CUES["short"], f"{fact.value}.")


def knowledge(generator: random.Random, task: str | None = None) -> Document:
    """A line that shows one of the skills that instructions ask for."""
    instruction = draw_instruction(generator, task=task)
    arguments = " ".join(instruction.arguments.values())
    cue = KNOWLEDGE_CUES[instruction.task]
    return [
        Segment(f"{cue} {arguments}:"),
        Segment(instruction.answer(generator), is_answer=True),
    ]


def _passages_only(generator: random.Random) -> Document:
    """Passages with nothing after them."""
    domain = generator.choice(DOMAINS)
    return [Segment(join_passages(draw_passages(generator, domain, generator.randint(1, 4))))]
