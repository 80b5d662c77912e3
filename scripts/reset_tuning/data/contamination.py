"""How much of the test sets' text stands in the training sets: pairs of texts, and word n-grams.

A test example counts as contaminated when at least 70 % of its word 8-grams occur somewhere in the
training text, the definition of PaLM's contamination study (Chowdhery et al. 2022, section 8).
"""

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from reset_tuning.data.candidates import normalise
from reset_tuning.data.overlaps import (
    EXACT,
    NEAR,
    Similarity,
    find_overlaps,
    training_texts,
)
from reset_tuning.tables import read_table, table_schema

_logger = logging.getLogger(__name__)
N_WORDS, CONTAMINATED_SHARE = 8, 0.7
ANY = "any"  # the row of a test set against all training sets together

_BATCH = 1000
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # odd, so that no word is lost in the product
_WHOLE_TEXT = ("instruction", "context", "question")


@dataclass(frozen=True)
class TestTexts:
    """The compared texts of all test examples, and the test set that each belongs to."""

    texts: list[str]
    datasets: list[str]

    @classmethod
    def of(cls, tables: Sequence[Path]) -> "TestTexts":
        """Read `example` tables."""
        rows = list(training_texts(tables))
        return cls([text for _, _, text in rows], [dataset for dataset, _, _ in rows])


def overlap_report(
    tests: Sequence[Path],
    dropped: Mapping[str, Path],
    training: Sequence[Path],
    similarity: Similarity,
) -> pd.DataFrame:
    """Return the rows of the `overlaps` table: every test set against every training set.

    tests, training: `example` tables. dropped: `overlap` tables by test set. Each training table is
    read twice: for the pairs that are left in the test sets and for the n-grams.
    """
    known = TestTexts.of(tests)
    names = [_dataset_of(path) for path in training]
    left = Counter(
        (known.datasets[overlap.place], overlap.training, overlap.kind)
        for overlap in find_overlaps(known.texts, training_texts(training), similarity)
    )
    _warn_of(left)
    contaminated = contaminated_texts(known.texts, training)
    rows = []
    for dataset in dict.fromkeys(known.datasets):
        found = read_table(dropped[dataset], "overlap")
        places = [place for place, name in enumerate(known.datasets) if name == dataset]
        n_tested = sum(ngram_hashes(known.texts[place]).size > 0 for place in places)
        for name in (*names, ANY):
            before = found if name == ANY else found[found["training"] == name]
            n_contaminated = sum(place in contaminated[name] for place in places)
            rows.append(
                {
                    "dataset": dataset,
                    "training": name,
                    "n_found_exact": _n_candidates(before, EXACT),
                    "n_found_near": _n_candidates(before, NEAR),
                    "n_test": len(places),
                    "n_left_exact": _n_left(left, dataset, name, EXACT),
                    "n_left_near": _n_left(left, dataset, name, NEAR),
                    "n_tested": n_tested,
                    "n_contaminated": n_contaminated,
                    "contamination_rate": n_contaminated / n_tested if n_tested else None,
                }
            )
    return pd.DataFrame(rows, columns=table_schema("overlaps").names)


def _dataset_of(path: Path) -> str:
    (row,) = pq.ParquetFile(path).iter_batches(1, columns=["dataset"]).__next__().to_pylist()
    return row["dataset"]


def _n_candidates(found: pd.DataFrame, kind: str) -> int:
    """Return the candidates with an overlap of this kind; one that is also exact is only that."""
    strongest = found.groupby(["example_id", "source_row"])["kind"].min()  # "exact" < "near"
    return int((strongest == kind).sum())


def _warn_of(left: Mapping[tuple[str, str, str], int]) -> None:
    for (dataset, name, kind), n_pairs in left.items():
        _logger.warning(
            "%s: %d test examples stand in the training set %s too (%s); datasets.%s.filters keep "
            "them",
            *(dataset, n_pairs, name, kind, dataset),
        )


def _n_left(left: Mapping[tuple[str, str, str], int], dataset: str, name: str, kind: str) -> Any:
    """Return the pairs left with one training set; against all of them pairs say nothing."""
    return None if name == ANY else left[dataset, name, kind]


def contaminated_texts(texts: Sequence[str], training: Sequence[Path]) -> dict[str, set[int]]:
    """Return the places of the contaminated texts by training set, and under ANY for all of them.

    A text of fewer than 8 words has no 8-gram and is never among them.
    """
    hashes = [ngram_hashes(text) for text in texts]
    wanted = np.unique(np.concatenate([np.empty(0, np.uint64), *hashes]))
    seen: dict[str, np.ndarray] = {ANY: np.zeros(wanted.size, bool)}
    for dataset, text in _whole_texts(training):
        mine = seen.setdefault(dataset, np.zeros(wanted.size, bool))
        places = _places(ngram_hashes(text), wanted)
        mine[places] = True
    for mine in seen.values():
        seen[ANY] = seen[ANY] | mine
    return {
        name: {
            place
            for place, mine in enumerate(hashes)
            if mine.size and flags[np.searchsorted(wanted, mine)].mean() >= CONTAMINATED_SHARE
        }
        for name, flags in seen.items()
    }


def ngram_hashes(text: str) -> np.ndarray:
    """Return a 64-bit hash of every word 8-gram of a text, in order; equal only in one process."""
    words = normalise(text).split()
    n = len(words) - N_WORDS + 1
    if n < 1:
        return np.empty(0, np.uint64)
    numbers = np.fromiter((hash(word) for word in words), np.int64, len(words)).view(np.uint64)
    total = np.zeros(n, np.uint64)
    for offset in range(N_WORDS):
        total = total * _MULTIPLIER + numbers[offset : offset + n]
    return total


def _places(found: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return the places in the sorted `wanted` of those of `found` that stand there."""
    if not wanted.size or not found.size:
        return np.empty(0, np.int64)
    places = np.minimum(np.searchsorted(wanted, found), wanted.size - 1)
    return places[wanted[places] == found]


def _whole_texts(training: Sequence[Path]) -> Iterator[tuple[str, str]]:
    """Yield (dataset, everything that is trained on) of every training example, streamed."""
    for path in training:
        columns = ["dataset", *_WHOLE_TEXT, "references"]
        for batch in pq.ParquetFile(path, pre_buffer=False).iter_batches(_BATCH, columns=columns):
            for row in batch.to_pylist():
                parts = [row[name] for name in _WHOLE_TEXT if row[name]]
                yield row["dataset"], "\n".join([*parts, *row["references"]])
