"""Exact and near-duplicates: what is found, verified and reported."""

import random
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from raw_samples import example

from reset_tuning.data.candidates import compared_text, normalise
from reset_tuning.data.overlaps import (
    EXACT,
    NEAR,
    NearIndex,
    Overlap,
    Similarity,
    find_overlaps,
    jaccard,
    n_bands,
    training_texts,
    word_ngrams,
)
from reset_tuning.tables import write_table

SIMILARITY = Similarity(threshold=0.8, n_words=3)
LONG = "Write a short story about an old fisherman who finds a bottle with a letter on the beach"


def test_ngrams_of_long_and_short_texts() -> None:
    assert word_ngrams("a b c d", 3) == {"a b c", "b c d"}
    assert word_ngrams("a b", 3) == {"a b"}
    assert word_ngrams("", 3) == {""}


def test_exact_and_near_duplicates_are_told_apart() -> None:
    texts = [LONG, "Name a fish.", LONG + " today", "Something else entirely, with many words"]
    training = [
        ("dolly", "d0", LONG.upper() + "!"),
        ("dolly", "d1", "name a FISH"),
        ("dolly", "d2", "Name a bird"),
        ("nq", "n0", LONG),
    ]
    found = find_overlaps(texts, training, SIMILARITY)
    near = jaccard(*(word_ngrams(normalise(text), 3) for text in (texts[0], texts[2])))
    assert found == [
        Overlap(0, "dolly", "d0", EXACT, 1.0),
        Overlap(0, "nq", "n0", EXACT, 1.0),
        Overlap(1, "dolly", "d1", EXACT, 1.0),
        Overlap(2, "dolly", "d0", NEAR, near),
        Overlap(2, "nq", "n0", NEAR, near),
    ]
    assert [o.kind for o in find_overlaps(texts, training, None)] == [EXACT] * 3


def test_equal_texts_are_all_found() -> None:
    found = find_overlaps(["a b", "A, b!"], [("x", "1", "a b")], SIMILARITY)
    assert [(overlap.place, overlap.kind) for overlap in found] == [(0, EXACT), (1, EXACT)]


def test_the_best_match_of_a_training_set_is_reported() -> None:
    training = [("x", "near", LONG + " now"), ("x", "same", LONG), ("x", "near2", LONG + " too")]
    (found,) = find_overlaps([LONG], training, SIMILARITY)
    assert (found.training_id, found.kind) == ("same", EXACT)


def test_long_documents_are_not_compared_with_short_ones() -> None:
    index = NearIndex(SIMILARITY)
    index.add("a b c d e")
    assert index.find(" ".join(f"w{i}" for i in range(1000)) + " a b c d e") == []


@pytest.mark.parametrize(("few", "many", "threshold"), [(33, 60, 0.55), (7, 10, 0.7), (4, 5, 0.8)])
def test_a_pair_at_the_threshold_is_found(few: int, many: int, threshold: float) -> None:
    """No rounding of a product loses it: 60 * 0.55 is a little more than 33."""
    words = [f"w{n}" for n in range(many)]
    for known, asked in [(few, many), (many, few)]:
        index = NearIndex(Similarity(threshold, 1))
        index.add(" ".join(words[:known]))
        assert index.find(" ".join(words[:asked])) == [(0, threshold)]


@settings(max_examples=15)
@given(st.integers(0, 10_000), st.sampled_from([0.6, 0.8, 0.9]))
def test_hashing_finds_what_comparing_every_pair_finds(seed: int, threshold: float) -> None:
    """Against brute force on texts that are edited copies of each other."""
    draw = random.Random(seed)
    words = [f"w{i}" for i in range(60)]
    originals = [draw.choices(words, k=draw.randint(1, 40)) for _ in range(20)]
    copies = [list(text) for text in draw.choices(originals, k=30)]
    for text in copies:
        for _ in range(draw.randint(0, 3)):
            text[draw.randrange(len(text))] = draw.choice(words)
    similarity = Similarity(threshold, 3)
    index = NearIndex(similarity)
    for text in originals:
        index.add(" ".join(text))
    for text in copies:
        folded = " ".join(text)
        expected = {
            place: value
            for place, other in enumerate(originals)
            if (value := jaccard(word_ngrams(folded, 3), word_ngrams(" ".join(other), 3)))
            >= threshold
        }
        found = dict(index.find(folded))
        assert found.items() <= expected.items()  # never a false one
        assert found == expected


@pytest.mark.parametrize(("threshold", "bands"), [(0.5, 60), (0.8, 24), (0.95, 20), (1.0, 20)])
def test_lower_thresholds_take_more_bands(threshold: float, bands: int) -> None:
    assert n_bands(threshold) == bands
    assert (1 - threshold ** (120 // bands)) ** bands < 1e-3


def test_training_tables_give_what_is_compared(tmp_path: Path) -> None:
    rows = [
        example("a", instruction="Do it."),
        example("b", instruction="Do it.", context="With this."),
        example("c", "extractive_qa", dataset="nq", question="Who?", context="Someone."),
        example("d", "summarization", dataset="cnn", context="A document."),
    ]
    write_table(pd.DataFrame(rows), tmp_path / "t.parquet", "example")
    assert list(training_texts([tmp_path / "t.parquet"])) == [
        ("dolly", "a", "Do it."),
        ("dolly", "b", "Do it.\nWith this."),
        ("nq", "c", "Who?"),
        ("cnn", "d", "A document."),
    ]


@pytest.mark.parametrize("parts", [(None, None, None), ("", "", "")])
def test_a_row_without_texts_compares_as_empty(parts: tuple) -> None:
    assert compared_text(*parts) == ""
