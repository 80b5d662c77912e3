"""Texts that stand in two places: equal once folded, or alike in most of their word n-grams.

Near-duplicates are found with MinHash signatures and locality-sensitive hashing (the rensa package)
and then verified on the n-grams themselves, so that a reported similarity is the true Jaccard
similarity. The hashing misses a pair at the threshold with a probability below 1 in 1,000, and
one above it with less.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq

from reset_tuning.data.candidates import compared_text, normalise

EXACT, NEAR = "exact", "near"
TEXT_COLUMNS = ("example_id", "dataset", "instruction", "question", "context")

_HASHES = 120  # of a signature; divides into bands of 1 to 6
_MISSED = 1e-3  # the largest probability of not finding a pair at the threshold
_HASH_SEED = 1
_BATCH = 1000  # rows of a table held at once
_REMEMBERED = 20_000  # n-gram sets kept for verification


@dataclass(frozen=True)
class Similarity:
    """When two texts are near-duplicates.

    threshold: the least Jaccard similarity of their sets of word n-grams (0 to 1). n_words: words
    in an n-gram; a text with fewer words is one n-gram.
    """

    threshold: float
    n_words: int

    @classmethod
    def of(cls, spec: Mapping[str, Any] | None) -> "Similarity | None":
        """Return the similarity of a config entry {threshold, n_words}, or None without one."""
        return None if spec is None else cls(float(spec["threshold"]), int(spec["n_words"]))


class Overlap(NamedTuple):
    """A text that stands, or nearly stands, in a training set.

    place: of the text among those looked up. kind: EXACT (equal once folded) or NEAR.
    """

    place: int
    training: str
    training_id: str
    kind: str
    similarity: float


def word_ngrams(folded: str, n_words: int) -> frozenset[str]:
    """Return the word n-grams of a folded text (see `normalise`); a short text is its only one."""
    words = folded.split()
    last = max(1, len(words) - n_words + 1)
    return frozenset(" ".join(words[start : start + n_words]) for start in range(last))


def jaccard(first: frozenset[str], second: frozenset[str]) -> float:
    """Return the share of all n-grams of two texts that both hold."""
    shared = len(first & second)
    return shared / (len(first) + len(second) - shared)


def n_bands(threshold: float) -> int:
    """Return the fewest bands of a signature with which pairs at the threshold are found.

    A band of r hashes agrees with probability s^r at similarity s, and one of b bands with
    1 - (1 - s^r)^b (Leskovec et al., Mining of Massive Datasets, section 3.4.2).
    """
    sizes = [rows for rows in range(1, 7) if _HASHES % rows == 0]
    found = [rows for rows in sizes if (1 - threshold**rows) ** (_HASHES // rows) < _MISSED]
    return _HASHES // max(found)


class NearIndex:
    """Folded texts by the hashes of their n-grams, to find those that are like a given one."""

    def __init__(self, similarity: Similarity) -> None:
        from rensa import RMinHashLSH

        self._similarity = similarity
        self._texts: list[str] = []
        self._sizes: list[int] = []  # how many n-grams the texts have, each number once, sorted
        self._lsh = RMinHashLSH(similarity.threshold, _HASHES, n_bands(similarity.threshold))
        self._ngrams_at = lru_cache(_REMEMBERED)(self._ngrams_of_place)

    def add(self, folded: str) -> int:
        """Take a text in and return its place: 0 for the first, 1 for the second, …"""
        ngrams = word_ngrams(folded, self._similarity.n_words)
        return self._add(folded, ngrams, _signature(ngrams))

    def find(self, folded: str) -> list[tuple[int, float]]:
        """Return (place, similarity) of every known text that is a near-duplicate, by place."""
        ngrams = word_ngrams(folded, self._similarity.n_words)
        return self._find(ngrams, _signature(ngrams)) if self._may_match(len(ngrams)) else []

    def find_or_add(self, folded: str) -> int | None:
        """Return the place of the first known near-duplicate of a text; take it in without one."""
        ngrams = word_ngrams(folded, self._similarity.n_words)
        signature = _signature(ngrams)
        for place, _ in self._find(ngrams, signature):
            return place
        self._add(folded, ngrams, signature)
        return None

    def _add(self, folded: str, ngrams: frozenset[str], signature: Any) -> int:
        place = len(self._texts)
        self._texts.append(folded)
        if len(ngrams) not in self._sizes_near(len(ngrams)):
            insort(self._sizes, len(ngrams))
        self._lsh.insert(place, signature)
        return place

    def _find(self, ngrams: frozenset[str], signature: Any) -> list[tuple[int, float]]:
        found = []
        for place in sorted(self._lsh.query(signature)):
            similarity = jaccard(ngrams, self._ngrams_at(place))
            if similarity >= self._similarity.threshold:
                found.append((place, similarity))
        return found

    def _may_match(self, size: int) -> bool:
        """Say whether some known text has about as many n-grams; most long documents have not.

        The similarity of two sets is at most the quotient of their sizes, also as rounded: a
        product with the threshold may be rounded up and lose a pair that is exactly at it.
        """
        least = self._similarity.threshold
        near = self._sizes_near(size)
        return any(min(size, known) / max(size, known) >= least for known in near)

    def _sizes_near(self, size: int) -> list[int]:
        """Return the largest known size below this one, and the smallest that is not below."""
        place = bisect_left(self._sizes, size)
        return self._sizes[max(0, place - 1) : place + 1]

    def _ngrams_of_place(self, place: int) -> frozenset[str]:
        return word_ngrams(self._texts[place], self._similarity.n_words)


def _signature(ngrams: frozenset[str]) -> Any:
    from rensa import RMinHash

    signature = RMinHash(num_perm=_HASHES, seed=_HASH_SEED)
    signature.update(list(ngrams))
    return signature


def training_texts(tables: Iterable[Path]) -> Iterator[tuple[str, str, str]]:
    """Yield (dataset, example id, compared text) of every row of `example` tables, streamed."""
    for path in tables:
        parquet = pq.ParquetFile(path, pre_buffer=False)
        for batch in parquet.iter_batches(_BATCH, columns=list(TEXT_COLUMNS)):
            columns = (batch.column(name).to_pylist() for name in TEXT_COLUMNS)
            for identifier, dataset, *parts in zip(*columns, strict=True):
                yield dataset, identifier, compared_text(*parts)


def find_overlaps(
    texts: Sequence[str], training: Iterable[tuple[str, str, str]], similarity: Similarity | None
) -> list[Overlap]:
    """Return where the texts stand in training data: the best match of each text and training set.

    `training` yields (dataset, example id, text) and is read once. Without `similarity` only texts
    that are equal once folded are found. Order: by place, then training set.
    """
    folded = [normalise(text) for text in texts]
    places: dict[str, list[int]] = {}
    for place, text in enumerate(folded):
        places.setdefault(text, []).append(place)
    index = None if similarity is None else NearIndex(similarity)
    owners = [places[text] for text in places]  # by place in the index
    for text in places if index else ():
        index.add(text)
    best: dict[tuple[int, str], Overlap] = {}
    for dataset, identifier, text in training:
        key = normalise(text)
        for place, kind, value in _matches(key, places, owners, index):
            known = best.get((place, dataset))
            if known is None or (kind, -value) < (known.kind, -known.similarity):
                best[place, dataset] = Overlap(place, dataset, identifier, kind, value)
    return [best[key] for key in sorted(best)]


def _matches(
    key: str, places: Mapping[str, list[int]], owners: Sequence[list[int]], index: NearIndex | None
) -> Iterator[tuple[int, str, float]]:
    """Yield (place, kind, similarity) of the texts that a folded training text is like."""
    exact = places.get(key, [])
    yield from ((place, EXACT, 1.0) for place in exact)
    if index is None:
        return
    for number, similarity in index.find(key):
        if owners[number] is not exact:
            yield from ((place, NEAR, similarity) for place in owners[number])
