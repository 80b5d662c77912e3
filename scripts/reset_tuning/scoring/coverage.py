"""The paper's coverage of an answer by its context, and exact match."""

from dataclasses import dataclass
from functools import lru_cache

from reset_tuning.scoring.normalise import normalise
from reset_tuning.scoring.table import UNDEFINED, Score, scored


@dataclass(frozen=True)
class Context:
    """A normalised context: its text, the n-grams in it, and nothing else.

    Passages are joined by line breaks. N-grams stay inside a line, so that none is made of the end
    of one passage and the start of the next.
    """

    text: str
    unigrams: frozenset[str]
    bigrams: frozenset[tuple[str, str]]


@lru_cache(maxsize=256)
def read_context(text: str, unicode: bool = False) -> Context:
    """Normalise a context once for all the answers given to it."""
    normalised = (normalise(line, unicode) for line in text.splitlines())
    lines = [line for line in normalised if line]
    tokens = [line.split() for line in lines]
    return Context(
        text=" ".join(lines),
        unigrams=frozenset(token for line in tokens for token in line),
        bigrams=frozenset(pair for line in tokens for pair in _bigrams(line)),
    )


def span_coverage(answer: str, context: Context) -> Score:
    """Score 1 if the normalised answer is a substring of the normalised context, else 0.

    `answer` is normalised already. An answer that normalises to nothing is in no context: 0.
    """
    return scored(float(bool(answer) and answer in context.text))


def span_coverage_tokens(answer: str, context: Context) -> Score:
    """Score like span_coverage, but the span must begin and end at token bounds.

    >>> theatre = read_context("The cat's theatre")
    >>> span_coverage("he", theatre).value, span_coverage_tokens("he", theatre).value
    (1.0, 0.0)
    """
    return scored(float(bool(answer) and f" {answer} " in f" {context.text} "))


def unigram_coverage(answer: str, context: Context) -> Score:
    """Return the share of the answer's tokens (with repetition) that occur in the context."""
    tokens = answer.split()
    if not tokens:
        return scored(0.0)
    return scored(sum(token in context.unigrams for token in tokens) / len(tokens))


def bigram_coverage(answer: str, context: Context) -> Score:
    """Return the share of the answer's bigrams that occur in the context.

    Undefined for an answer of one token, which has no bigram; 0 for one that normalises to nothing.
    """
    tokens = answer.split()
    if not tokens:
        return scored(0.0)
    pairs = _bigrams(tokens)
    if not pairs:
        return UNDEFINED
    return scored(sum(pair in context.bigrams for pair in pairs) / len(pairs))


def exact_match(answer: str, references: list[str], unicode: bool = False) -> Score:
    """Score 1 if the normalised answer equals any normalised reference; undefined without one.

    An answer that normalises to nothing is no answer: 0, also where a reference comes to nothing.
    """
    if not answer:
        return scored(0.0)
    if not references:
        return UNDEFINED
    return scored(float(any(answer == normalise(reference, unicode) for reference in references)))


def _bigrams(tokens: list[str]) -> list[tuple[str, str]]:
    return list(zip(tokens, tokens[1:], strict=False))
