"""Every word that the miniature world can say: the vocabulary of its models."""

from functools import cache

from reset_tuning.mini import words
from reset_tuning.mini.contexts import HEADINGS
from reset_tuning.mini.facts import RELATIONS
from reset_tuning.mini.instructions import (
    ABOUT_FORMS,
    CHAT_END,
    CHAT_START,
    GREETINGS,
    NON_ANSWER,
    OPENERS,
    TASKS,
)
from reset_tuning.mini.prompts import alpaca_templates, task_texts

PAD, BOS, EOS, UNK = "<pad>", "<s>", "</s>", "<unk>"
SPECIAL_TOKENS = (PAD, BOS, EOS, UNK)

# What introduces answers and skills in the base model's documents.
CUES = {
    "question": "Question:",
    "short": "Answer:",
    "sentence": "Full answer:",
    "summary": "In short:",
    "copy": "Again:",
}
KNOWLEDGE_CUES = {
    "list": "some",
    "repeat": "repeat",
    "capitals": "capital",
    "count": "numbers",
    "count_down": "down",
    "opposite": "opposite",
    "plural": "plural",
    "rhyme": "rhymes",
    "is": "is",
    "bigger": "bigger",
    "plus": "plus",
    "about": "about",
    "greet": "hello",
    "reverse": "reverse",
    "first": "first",
    "last": "last",
    "next_day": "after",
    "fact": "tell",
}


@cache
def vocabulary() -> dict[str, int]:
    """Return the words of every list and template, special tokens first, then sorted."""
    texts = [*_template_texts(), *_word_lists()]
    found = {word for text in texts for word in words.split_words(_without_arguments(text))}
    return {word: index for index, word in enumerate((*SPECIAL_TOKENS, *sorted(found)))}


@cache
def plain_words() -> tuple[str, ...]:
    """Return the vocabulary without special tokens and punctuation."""
    return tuple(word for word in vocabulary() if word.isalnum())


def _template_texts() -> list[str]:
    """Return every fixed text whose words may occur in data, prompts or answers."""
    relations = [relation for domain in RELATIONS.values() for relation in domain.values()]
    bodies = [template.split("\n", 1)[1] for template in alpaca_templates().values()]
    return [
        *(form for relation in relations for form in (*relation.statements, *relation.questions)),
        *(relation.clue for relation in relations),
        *(form for task in TASKS.values() for form in (*task.wordings, *task.held_out_wordings)),
        *(*ABOUT_FORMS, *GREETINGS, *OPENERS, CHAT_START, CHAT_END, NON_ANSWER),
        *("Yes, is not a an", "No", "A An", "plus is bigger"),
        *HEADINGS.values(),
        *CUES.values(),
        *KNOWLEDGE_CUES.values(),
        *task_texts().values(),
        *bodies,
        "Question:",
    ]


def _word_lists() -> list[str]:
    """Return every word of the world's lists."""
    lists = [
        *words.ENTITIES.values(),
        *words.CATEGORIES.values(),
        *words.RHYMES,
        words.YEARS,
        words.ADJECTIVES,
        words.SPOTS,
        words.ILLNESSES,
        words.NUMBER_WORDS,
        words.NUMBERS,
        tuple(words.CATEGORIES),
        tuple(words.SINGULAR_CATEGORIES.values()),
        tuple(words.OPPOSITES),
        tuple(words.PLURALS),
        tuple(words.PLURALS.values()),
        tuple(words.CAPITALS.values()),
    ]
    return [word for group in lists for word in group]


def _without_arguments(text: str) -> str:
    """Remove the `{…}` arguments of a template."""
    return words.ARGUMENT.sub(" ", text)
