"""ROUGE-L with the scores of the rouge-score package, exactly, at a fraction of its time.

The package fills a table of m x n cells in Python. Here one big integer holds a row of that table
as bits (Hyyrö 2004, "Bit-parallel LCS-length computation revisited"), and every text is split
once. The split, the stemmer and the arithmetic of the score are the package's.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache

from rouge_score.scoring import Score, fmeasure

_KEPT = b"abcdefghijklmnopqrstuvwxyz0123456789"
_TO_BLANK = bytes(byte if byte in _KEPT else ord(" ") for byte in range(256))
_LONGEST_UNSTEMMED = 3  # characters; the package stems longer words only
_NOTHING = Score(precision=0, recall=0, fmeasure=0)


class RougeL:
    """Scores of texts against references, with or without the package's Porter stemmer."""

    def __init__(self, stemmer: bool = False) -> None:
        self._stem = lru_cache(maxsize=1 << 16)(_porter_stem()) if stemmer else None
        self._split = lru_cache(maxsize=1 << 12)(self.tokens)

    def tokens(self, text: str) -> tuple[str, ...]:
        """Return the tokens of a text as the package splits it: a-z and 0-9 only.

        >>> RougeL().tokens("Café No. 3.5")
        ('caf', 'no', '3', '5')
        """
        # Lower-cased first, as in the package: some letters become a-z only then.
        words = text.lower().encode("ascii", "replace").translate(_TO_BLANK).decode().split()
        if self._stem is None:
            return tuple(words)
        return tuple(self._stem(word) if len(word) > _LONGEST_UNSTEMMED else word for word in words)

    def score(self, reference: str, output: str) -> Score:
        """Return precision, recall and F-measure of an output against one reference."""
        target, prediction = self._split(reference), self._split(output)
        if not target or not prediction:
            return _NOTHING
        length = common_subsequence(target, prediction)
        precision, recall = length / len(prediction), length / len(target)
        return Score(precision, recall, fmeasure(precision, recall))

    def score_multi(self, references: Sequence[str], output: str) -> Score:
        """Return the score of the reference with the highest F-measure, the first of equals."""
        return max((self.score(reference, output) for reference in references), key=_fmeasure)


def common_subsequence(first: Sequence[str], second: Sequence[str]) -> int:
    """Return the length of the longest common subsequence.

    >>> common_subsequence("abcde", "xbdz")
    2
    """
    places: dict[str, int] = {}
    bit = 1
    for token in first:
        places[token] = places.get(token, 0) | bit
        bit += bit
    every = row = bit - 1  # a zero bit is a place where the longest common subsequence grows
    for token in second:
        if token in places:
            met = row & places[token]
            row = (row + met) | (row ^ met)
    return len(first) - (row & every).bit_count()  # what is carried past the end is never met


def _fmeasure(score: Score) -> float:
    return score.fmeasure


def _porter_stem() -> Callable[[str], str]:
    from rouge_score.tokenizers import DefaultTokenizer  # it imports all of nltk

    return DefaultTokenizer(use_stemmer=True)._stemmer.stem
