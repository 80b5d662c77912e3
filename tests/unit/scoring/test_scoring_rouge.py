"""ROUGE-L against the rouge-score package: every number of every score exactly equal."""

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer

from reset_tuning.scoring import rouge_fast
from reset_tuning.scoring.rouge_fast import RougeL, common_subsequence

WORDS = [
    "Cats",
    "cat",
    "running",
    "runs",
    "3.5",
    "naïve",
    "it's",
    "数字",
    "İstanbul",
    "...",
    "a\nb",
]
TEXTS = st.one_of(st.text(), st.lists(st.sampled_from(WORDS), max_size=40).map(" ".join))
SCORERS = {flag: (RougeL(flag), RougeScorer(["rougeL"], use_stemmer=flag)) for flag in (0, 1)}


@pytest.mark.parametrize("stemmer", [False, True])
@given(reference=TEXTS, output=TEXTS)
def test_every_value_equals_the_packages(stemmer: bool, reference: str, output: str) -> None:
    ours, theirs = SCORERS[stemmer]
    assert ours.score(reference, output) == theirs.score(reference, output)["rougeL"]


@given(references=st.lists(TEXTS, min_size=1, max_size=4), output=TEXTS)
def test_the_best_reference_is_the_packages(references: list[str], output: str) -> None:
    ours, theirs = SCORERS[0]
    assert ours.score_multi(references, output) == theirs.score_multi(references, output)["rougeL"]


@given(
    st.lists(st.sampled_from("abc"), max_size=90), st.lists(st.sampled_from("abcd"), max_size=90)
)
def test_the_length_is_that_of_the_plain_table(first: list[str], second: list[str]) -> None:
    above = [0] * (len(second) + 1)
    for token in first:
        row = [0]
        for place, other in enumerate(second):
            best = max(row[-1], above[place + 1])
            row.append(above[place] + 1 if token == other else best)
        above = row
    assert common_subsequence(first, second) == above[-1]


def test_examples_in_docstrings() -> None:
    assert doctest.testmod(rouge_fast).failed == 0
