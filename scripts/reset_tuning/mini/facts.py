"""Facts of the miniature world: who or what, which relation, which value, and how it is said."""

import random
from collections.abc import Mapping
from dataclasses import dataclass

from reset_tuning.mini.words import (
    ADJECTIVES,
    ANIMALS,
    COLORS,
    ENTITIES,
    FOODS,
    ILLNESSES,
    INSTRUMENTS,
    JOBS,
    PLANTS,
    SPOTS,
    YEARS,
)

SAME_RELATIONS_RATE = 0.6
N_FAMOUS = 20
_FAMOUS_SEED = 777


@dataclass(frozen=True)
class Relation:
    """One relation of a domain with its surface forms; `{e}` is the entity and `{v}` the value."""

    value: str
    statements: tuple[str, ...]
    questions: tuple[str, ...]
    clue: str


@dataclass(frozen=True)
class Fact:
    """One fact: the value of a relation of an entity."""

    domain: str
    relation: str
    entity: str
    value: str


@dataclass(frozen=True)
class Passage:
    """Two sentences about one entity, with the facts they state in the same order."""

    facts: tuple[Fact, ...]
    sentences: tuple[str, ...]

    @property
    def text(self) -> str:
        """The passage as running text."""
        return " ".join(self.sentences)

    @property
    def entity(self) -> str:
        """The entity that the passage is about."""
        return self.facts[0].entity


_VALUES: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "place": (ENTITIES["place"],),
    "job": (JOBS,),
    "colored animal": (COLORS, ANIMALS),
    "food": (FOODS,),
    "year": (YEARS,),
    "instrument": (INSTRUMENTS,),
    "spot": (ADJECTIVES, SPOTS),
    "illness": (ILLNESSES,),
    "colored plant": (COLORS, PLANTS),
}

RELATIONS: Mapping[str, Mapping[str, Relation]] = {
    "person": {
        "home": Relation(
            "place",
            ("{e} lives in {v}.", "{e} has a home in {v}.", "The home of {e} is in {v}."),
            ("Where does {e} live?", "In which place is the home of {e}?"),
            "{e} lives in this place.",
        ),
        "job": Relation(
            "job",
            ("{e} works as a {v}.", "{e} is a {v}.", "The job of {e} is {v}."),
            ("What is the job of {e}?", "What does {e} work as?"),
            "{e} has this job.",
        ),
        "pet": Relation(
            "colored animal",
            ("{e} owns a {v}.", "{e} keeps a {v}.", "The pet of {e} is a {v}."),
            ("Which pet does {e} own?", "What is the pet of {e}?"),
            "{e} owns this pet.",
        ),
        "food": Relation(
            "food",
            ("{e} likes {v}.", "{e} enjoys {v}.", "The favorite food of {e} is {v}."),
            ("Which food does {e} like?", "What is the favorite food of {e}?"),
            "{e} likes this food.",
        ),
        "birth": Relation(
            "year",
            ("{e} was born in {v}.", "The birth year of {e} is {v}."),
            ("When was {e} born?", "What is the birth year of {e}?"),
            "{e} was born in this year.",
        ),
        "music": Relation(
            "instrument",
            ("{e} plays the {v}.", "{e} makes music with the {v}."),
            ("What does {e} play?", "Which instrument does {e} play?"),
            "{e} plays this instrument.",
        ),
    },
    "place": {
        "near": Relation(
            "spot",
            ("{e} lies near the {v}.", "{e} can be found near the {v}."),
            ("Where does {e} lie?", "What is near {e}?"),
            "{e} lies near this spot.",
        ),
        "goods": Relation(
            "food",
            ("{e} is famous for {v}.", "People visit {e} for its {v}."),
            ("What is {e} famous for?", "Why do people visit {e}?"),
            "{e} is famous for this food.",
        ),
        "founding": Relation(
            "year",
            ("{e} was founded in {v}.", "The founding year of {e} is {v}."),
            ("When was {e} founded?", "What is the founding year of {e}?"),
            "{e} was founded in this year.",
        ),
        "flag": Relation(
            "colored animal",
            ("The flag of {e} shows a {v}.", "{e} has a flag with a {v}."),
            ("What is on the flag of {e}?", "What does the flag of {e} show?"),
            "The flag of {e} shows this animal.",
        ),
    },
    "drug": {
        "treatment": Relation(
            "illness",
            ("{e} treats {v}.", "{e} is used against {v}."),
            ("What does {e} treat?", "What is {e} used against?"),
            "{e} treats this illness.",
        ),
        "source": Relation(
            "colored plant",
            ("{e} is made from {v}.", "{e} comes from {v}."),
            ("What is {e} made from?", "Where does {e} come from?"),
            "{e} is made from this plant.",
        ),
        "discovery": Relation(
            "year",
            ("{e} was discovered in {v}.", "The discovery year of {e} is {v}."),
            ("When was {e} discovered?", "What is the discovery year of {e}?"),
            "{e} was discovered in this year.",
        ),
        "intake": Relation(
            "food",
            ("{e} is taken with {v}.", "Doctors give {e} with {v}."),
            ("What is {e} taken with?", "With what do doctors give {e}?"),
            "{e} is taken with this food.",
        ),
    },
}


def relation_of(fact: Fact) -> Relation:
    """Return the relation that a fact is about."""
    return RELATIONS[fact.domain][fact.relation]


def draw_fact(generator: random.Random, domain: str, relation: str, entity: str) -> Fact:
    """Draw a value of the relation for the entity."""
    parts = _VALUES[RELATIONS[domain][relation].value]
    value = " ".join(generator.choice(words) for words in parts)
    return Fact(domain, relation, entity, value)


def state(generator: random.Random, fact: Fact, avoid: str = "") -> str:
    """Say a fact in one of its surface forms, if possible not in the words of `avoid`."""
    said = [form.format(e=fact.entity, v=fact.value) for form in relation_of(fact).statements]
    return generator.choice([sentence for sentence in said if sentence != avoid] or said)


def ask(generator: random.Random, fact: Fact) -> str:
    """Return a question whose answer is the fact's value."""
    return generator.choice(relation_of(fact).questions).format(e=fact.entity)


def clue(fact: Fact) -> str:
    """Return a quiz-show clue whose answer is the fact's value."""
    return relation_of(fact).clue.format(e=fact.entity)


def draw_passage(
    generator: random.Random, domain: str, entity: str, relations: list[str]
) -> Passage:
    """Write one passage that states the given relations of an entity with fresh values."""
    facts = tuple(draw_fact(generator, domain, relation, entity) for relation in relations)
    return Passage(facts, tuple(state(generator, fact) for fact in facts))


def draw_passages(generator: random.Random, domain: str, count: int) -> list[Passage]:
    """Write passages about different entities of a domain.

    Most share their two relations with one another, so that only the entity tells them apart.
    """
    names = list(RELATIONS[domain])
    shared = generator.sample(names, 2)
    passages = []
    for entity in generator.sample(ENTITIES[domain], count):
        alike = generator.random() < SAME_RELATIONS_RATE
        chosen = generator.sample(shared if alike else names, 2)
        passages.append(draw_passage(generator, domain, entity, chosen))
    return passages


def draw_passages_for(
    generator: random.Random, domain: str, count: int, relation: str
) -> list[Passage]:
    """Write passages about different entities, of which only the first states `relation`.

    So the relation identifies the fact that is asked for. (Models of this size do not reliably
    learn to tell several facts of one relation apart by their entities.)
    """
    others = [name for name in RELATIONS[domain] if name != relation]
    gold, *rest = generator.sample(ENTITIES[domain], count)
    told = [relation, generator.choice(others)]
    generator.shuffle(told)
    passages = [draw_passage(generator, domain, gold, told)]
    for entity in rest:
        passages.append(draw_passage(generator, domain, entity, generator.sample(others, 2)))
    return passages


def _draw_famous() -> dict[tuple[str, str], Fact]:
    """Draw the facts that are known without a context, by (person, relation)."""
    generator = random.Random(_FAMOUS_SEED)
    return {
        (person, relation): draw_fact(generator, "person", relation, person)
        for person in ENTITIES["person"][:N_FAMOUS]
        for relation in ("home", "job", "food")
    }


# What the base model has read about a few persons; contexts say other things about them.
FAMOUS_FACTS = _draw_famous()
