"""Sentence splitters for SummaC: nltk's trained model, or one that needs no data."""

import re
from collections.abc import Callable

import nltk
from nltk.tokenize.punkt import PunktParameters, PunktSentenceTokenizer

from reset_tuning.errors import InputError

Splitter = Callable[[str], list[str]]
SPLITTERS = ("punkt_tab", "punkt_abbreviations", "regex")

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")
_ABBREVIATIONS = """
    dr mr mrs ms prof rev gen sen rep gov lt col sgt capt hon st jr sr inc ltd corp co llc dept univ
    vs etc al fig figs eq vol pp ed eds approx est ca cf e.g i.e a.m p.m u.s u.k u.n d.c ph.d
    jan feb mar apr jun jul aug sep sept oct nov dec mt ave blvd
"""


def sentence_splitter(name: str) -> Splitter:
    """Return the splitter `punkt_tab` (nltk's trained English model, which summac uses) or
    `punkt_abbreviations` (the same algorithm, untrained, with a list of English abbreviations), or
    `regex` (a sentence ends at each . ! or ? before white space: wrong at every abbreviation, and
    only there to show what a splitter changes).

    Raises InputError for another name, or when nltk's data is not installed.
    """
    if name == "punkt_tab":
        _require_punkt_tab()
        return nltk.sent_tokenize
    if name == "punkt_abbreviations":
        parameters = PunktParameters()
        parameters.abbrev_types = set(_ABBREVIATIONS.split())
        return PunktSentenceTokenizer(parameters).tokenize
    if name == "regex":
        return lambda text: [part for part in _SENTENCE_END.split(text) if part]
    raise InputError(f"unknown sentence splitter {name!r}: use one of {', '.join(SPLITTERS)}")


def _require_punkt_tab() -> None:
    try:
        nltk.sent_tokenize("One sentence. Another one.")
    except LookupError:
        raise InputError(
            "the sentence splitter punkt_tab needs nltk's data: run `python -m nltk.downloader "
            "punkt_tab` where there is internet (NLTK_DATA names the folder), or set the metric's "
            "splitter to punkt_abbreviations"
        ) from None
