"""Context-dependent tasks of the miniature world: extractive and abstractive QA, summarisation."""

import random
from dataclasses import dataclass

from reset_tuning.mini.facts import (
    RELATIONS,
    Fact,
    Passage,
    ask,
    clue,
    draw_fact,
    draw_passages_for,
    state,
)
from reset_tuning.mini.words import ENTITIES

N_PASSAGES = 5
N_MAIN_FACTS = 3
N_SUMMARY_FACTS = 2
N_SIDE_ENTITIES = 2
HEADINGS = {"news": "News about {e}.", "article": "About {e}."}


@dataclass(frozen=True)
class Question:
    """A question over passages: where its answer stands, its short answer and a full sentence."""

    passages: tuple[Passage, ...]
    gold: int
    fact: Fact
    text: str
    sentence: str

    @property
    def answer(self) -> str:
        """The short answer, a span of the gold passage."""
        return self.fact.value


@dataclass(frozen=True)
class Article:
    """A headed text about one main entity among others, and its summary."""

    entity: str
    heading: str
    sentences: tuple[str, ...]
    summary: tuple[str, ...]

    @property
    def text(self) -> str:
        """The article with its heading, as running text."""
        return " ".join((self.heading, *self.sentences))


def draw_question(
    generator: random.Random,
    domain: str,
    noise: float = 0.0,
    n_passages: int = N_PASSAGES,
    as_clue: bool = False,
) -> Question:
    """Draw a question over passages of one domain.

    `noise` is the probability that the full-sentence answer carries an invented second sentence,
    as answers written from memory do; the short answer is always right.
    """
    relation = generator.choice(list(RELATIONS[domain]))
    passage, *others = draw_passages_for(generator, domain, n_passages, relation)
    gold = generator.randrange(n_passages)
    passages = (*others[:gold], passage, *others[gold:])
    which = [fact.relation for fact in passage.facts].index(relation)
    fact = passage.facts[which]
    text = clue(fact) if as_clue else ask(generator, fact)
    sentence = state(generator, fact, avoid=passage.sentences[which])
    if generator.random() < noise:
        known = {fact.relation for fact in passage.facts}
        sentence += " " + _invent(generator, fact, known)
    return Question(passages, gold, fact, text, sentence)


def draw_article(
    generator: random.Random, domain: str, heading: str, noise: float = 0.0
) -> Article:
    """Draw an article whose summary is the first two facts about its main entity, said anew.

    `noise` is the probability that the summary's second fact is invented.
    """
    main, *others = generator.sample(ENTITIES[domain], 1 + N_SIDE_ENTITIES)
    relations = list(RELATIONS[domain])
    facts = [
        draw_fact(generator, domain, relation, main)
        for relation in generator.sample(relations, N_MAIN_FACTS)
    ]
    sentences = [state(generator, fact) for fact in facts]
    side = [
        state(generator, draw_fact(generator, domain, relation, other))
        for other in others
        for relation in generator.sample(relations, 2)
    ]
    summary = [
        state(generator, fact, avoid=sentence)
        for fact, sentence in zip(facts[:N_SUMMARY_FACTS], sentences, strict=False)
    ]
    if generator.random() < noise:
        summary[-1] = _invent(generator, facts[0], {fact.relation for fact in facts})
    text = tuple(_interleave(generator, sentences, side))
    return Article(main, HEADINGS[heading].format(e=main), text, tuple(summary))


def _invent(generator: random.Random, fact: Fact, known: set[str]) -> str:
    """State something about the fact's entity that the context does not say."""
    other = [relation for relation in RELATIONS[fact.domain] if relation not in known]
    return state(generator, draw_fact(generator, fact.domain, generator.choice(other), fact.entity))


def _interleave(generator: random.Random, first: list[str], second: list[str]) -> list[str]:
    """Merge two lists at random, keeping the order inside each."""
    total = len(first) + len(second)
    places = set(generator.sample(range(total), len(first)))
    one, two = iter(first), iter(second)
    return [next(one) if place in places else next(two) for place in range(total)]
