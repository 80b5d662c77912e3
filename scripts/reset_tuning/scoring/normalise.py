"""The paper's text normalisation, used for coverage and exact match."""

import re
import string

_SPACED_HYPHEN_OR_SLASH = re.compile(r"\s*([-/])\s*")
_SPACE_BEFORE_POSSESSIVE = re.compile(r"\s+('s)\b", re.IGNORECASE)
_ARTICLE = re.compile(r"\b(a|an|the)\b", re.IGNORECASE)
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalise(text: str) -> str:
    """Normalise a text as the paper does, in the order in which the paper names the steps.

    Spaces around hyphens and slashes and before 's are removed, then articles (in any case, since
    lower-casing comes later), then ASCII punctuation; what is left is lower-cased and its white
    space collapsed. Articles are whole words of the raw text, so "A-Team" loses its "A" and
    "U.S.A." becomes "us": odd, but the same on both sides of every comparison.

    >>> normalise("The New York - based bank 's  profit")
    'new yorkbased banks profit'
    >>> normalise("an A / B test.")
    'b test'
    >>> normalise("The"), normalise("...")
    ('', '')
    """
    text = _SPACED_HYPHEN_OR_SLASH.sub(r"\1", text)
    text = _SPACE_BEFORE_POSSESSIVE.sub(r"\1", text)
    text = _ARTICLE.sub(" ", text)
    text = text.translate(_NO_PUNCTUATION)
    return " ".join(text.lower().split())
