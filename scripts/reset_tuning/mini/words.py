"""The word lists and invented names of the miniature world."""

import random
import re

_NAME_SEED = 12345
_TOKEN = re.compile(r"###|[A-Za-z0-9]+|[^\sA-Za-z0-9]")
ARGUMENT = re.compile(r"\{\w+\}")


def split_words(text: str) -> list[str]:
    """Split text into the world's tokens: words, numbers, `###` and single punctuation marks."""
    return _TOKEN.findall(text)


def with_article(word: str) -> str:
    """Return the word behind its indefinite article: `an owl`, `a red fox`."""
    return f"{'an' if word[0] in 'aeiou' else 'a'} {word}"


def _words(text: str) -> tuple[str, ...]:
    """Return the words of a text."""
    return tuple(text.split())


def _invent_names() -> dict[str, tuple[str, ...]]:
    """Draw the names of every domain from syllables; one generator, so that no name repeats."""
    generator = random.Random(_NAME_SEED)
    parts = {
        "person": (
            60,
            _words("Zor Tal Mir Bel Kor Van Lis Ned Rup Sil Gar Pel Dov Hem Jas"),
            _words("in ma ek or ia us el an"),
        ),
        "place": (
            30,
            _words("Ash Brim Cald Dun East Fern Glen Holt Ivy Kirk Lang Mill"),
            _words("ton ford wick dale ham by"),
        ),
        "drug": (24, _words("Pax Ver Cyl Olm Tri Xan Qui Fel"), _words("atin izol umab orin ex")),
    }
    names = {}
    for domain, (count, starts, ends) in parts.items():
        possible = [start + end for start in starts for end in ends]
        names[domain] = tuple(generator.sample(possible, count))
    return names


ENTITIES = _invent_names()

JOBS = _words(
    "baker farmer painter doctor teacher sailor tailor miner judge cook guard singer weaver pilot "
    "clerk hunter"
)
COLORS = _words("red blue green black white brown gray yellow")
ANIMALS = _words("cat dog cow horse goat sheep pig hen duck fox owl bear mouse frog rabbit parrot")
FOODS = _words(
    "bread cheese soup rice plums apples honey beans cake fish eggs nuts pears corn butter jam"
)
INSTRUMENTS = _words("piano violin flute drum harp guitar trumpet cello horn lute")
PLANTS = _words("fern moss nettle mint sage clover willow thistle lily poppy")
TOOLS = _words("hammer saw axe rope ladder shovel needle lamp")
DAYS = _words("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")
YEARS = tuple(str(year) for year in range(1901, 1941))
ADJECTIVES = _words("old new tall small wide dark bright broken")
SPOTS = _words("bridge mill tower lake forest castle market harbor temple garden")
ILLNESSES = _words("fever cough headache rash flu cold cramp burn itch insomnia")

NUMBER_WORDS = _words("zero one two three four five six seven eight nine ten")
NUMBERS = tuple(str(number) for number in range(31))

CATEGORIES = {
    "animals": ANIMALS,
    "colors": COLORS,
    "foods": FOODS,
    "jobs": JOBS,
    "instruments": INSTRUMENTS,
    "plants": PLANTS,
    "tools": TOOLS,
    "days": DAYS,
}
SINGULAR_CATEGORIES = {category: category[:-1] for category in CATEGORIES}

_OPPOSITE_PAIRS = _words(
    "hot-cold big-small tall-short old-new wide-narrow dark-bright happy-sad fast-slow hard-soft "
    "rich-poor wet-dry open-closed full-empty early-late strong-weak loud-quiet clean-dirty "
    "high-low long-brief young-aged"
)
OPPOSITES = {
    word: other
    for pair in _OPPOSITE_PAIRS
    for word, other in (pair.split("-"), reversed(pair.split("-")))
}
RHYMES = (
    _words("cat hat mat bat"),
    _words("dog log fog frog"),
    _words("cake lake snake rake"),
    _words("mouse house blouse"),
    _words("fox box ox socks"),
    _words("goat boat coat"),
    _words("sheep sleep deep"),
    _words("hen pen ten men"),
    _words("bear chair pear hair"),
    _words("moon spoon noon"),
    _words("tree bee three knee"),
    _words("star car jar"),
)
_REGULAR_PLURALS = _words(
    "cat dog cow horse goat pig hen duck owl bear frog rabbit parrot hammer saw axe rope ladder "
    "shovel needle lamp baker farmer painter doctor teacher sailor"
)
PLURALS = {"mouse": "mice", "sheep": "sheep", "fox": "foxes"} | {
    word: f"{word}s" for word in _REGULAR_PLURALS
}
_CAPITALISED = _words(
    "hot cold cat dog cow red blue green bread soup piano drum happy sad hammer rope baker farmer "
    "star moon"
)
CAPITALS = {word: word.upper() for word in _CAPITALISED}

# Words that lists, repetitions and reversals are made of.
PLAIN_WORDS = tuple(sorted({*ANIMALS, *FOODS, *INSTRUMENTS, *PLANTS, *TOOLS, *JOBS, *COLORS}))
