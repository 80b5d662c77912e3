"""The paper's text normalisation, used for coverage and exact match."""

import re
import string
import sys
import unicodedata
from functools import cache

_SPACED_HYPHEN_OR_SLASH = re.compile(r"\s*([-/])\s*")
_SPACE_BEFORE_POSSESSIVE = re.compile(r"\s+('s)\b", re.IGNORECASE)
_ARTICLE = re.compile(r"\b(a|an|the)\b", re.IGNORECASE)
# Dashes between clauses, em dashes and spaced en dashes, but for those of ranges (between digits).
_CLAUSE_DASH = re.compile(r"(?<![\d\s])(?:\s*[—―]\s*|\s+–\s+)|(?:\s*[—―]\s*+|\s+–\s++)(?!\d)")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalise(text: str, unicode: bool = False) -> str:
    """Normalise a text as the paper does, in the order in which the paper names the steps.

    Spaces around hyphens and slashes and before 's are removed, then articles (in any case, since
    lower-casing comes later), then ASCII punctuation; what is left is lower-cased and its white
    space collapsed. Articles are whole words of the raw text, so "A-Team" loses its "A" and
    "U.S.A." becomes "us": odd, but the same on both sides of every comparison.

    `unicode` folds first what is written in several ways (compatibility forms, dashes, quotation
    marks), takes dashes between clauses for spaces, and removes the punctuation of every script and
    not ASCII's alone.

    >>> normalise("The New York - based bank 's  profit")
    'new yorkbased banks profit'
    >>> normalise("an A / B test.")
    'b test'
    >>> normalise("The"), normalise("...")
    ('', '')
    >>> normalise("1990–1995"), normalise("1990 – 1995", unicode=True), normalise("1990-1995")
    ('1990–1995', '19901995', '19901995')
    >>> normalise("Mary – the queen—left", unicode=True), normalise("5 — 7", unicode=True)
    ('mary queen left', '57')
    """
    if unicode:
        text = _CLAUSE_DASH.sub(" ", unicodedata.normalize("NFKC", text)).translate(_one_way())
    text = _SPACED_HYPHEN_OR_SLASH.sub(r"\1", text)
    text = _SPACE_BEFORE_POSSESSIVE.sub(r"\1", text)
    text = _ARTICLE.sub(" ", text)
    text = text.translate(_no_punctuation_of_any_script() if unicode else _NO_PUNCTUATION)
    return " ".join(text.lower().split())


@cache
def _one_way() -> dict[int, str]:
    """Return the translation of dashes, the minus sign and quotation marks to ASCII's."""
    table = dict.fromkeys(_of_category("Pd"), "-") | {0x2212: "-", 0x2044: "/", 0x2215: "/"}
    table |= dict.fromkeys((0x2018, 0x2019, 0x201A, 0x201B, 0x2032, 0x02BC), "'")
    return table | dict.fromkeys((0x201C, 0x201D, 0x201E, 0x201F, 0x2033, 0x00AB, 0x00BB), '"')


@cache
def _no_punctuation_of_any_script() -> dict[int, None]:
    return dict.fromkeys([*_of_category("P"), *map(ord, string.punctuation)])


def _of_category(start: str) -> list[int]:
    codes = range(sys.maxunicode + 1)
    return [code for code in codes if unicodedata.category(chr(code)).startswith(start)]
