import doctest
import unicodedata
from importlib import import_module

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reset_tuning.scoring.coverage import (
    bigram_coverage,
    exact_match,
    read_context,
    span_coverage,
    span_coverage_tokens,
    unigram_coverage,
)
from reset_tuning.scoring.normalise import normalise
from reset_tuning.scoring.table import UNDEFINED

CONTEXT = "The cat's theatre, 1990-1995.\nB12 costs $3.50 in New York - based shops."
TOKENS = ["red", "Blue", "green-ish", "it's", "12", "3.5", "owl", "Bergen"]
WORDS = st.lists(st.sampled_from(TOKENS), min_size=1)


@pytest.mark.parametrize("module", ["normalise", "coverage"])
def test_examples_in_docstrings(module: str) -> None:
    assert doctest.testmod(import_module(f"reset_tuning.scoring.{module}")).failed == 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("New York - based", "new yorkbased"),
        ("New York-based", "new yorkbased"),
        ("either / or", "eitheror"),
        ("the bank 's money", "banks money"),
        ("The Cat, a dog and AN owl!", "cat dog and owl"),
        ("Vitamin A", "vitamin"),
        ("U.S.A.", "us"),
        ("A-Team", "team"),
        ("theatre banana another", "theatre banana another"),
        ("  many\n\twhite   spaces ", "many white spaces"),
        ("3,500 at $3.5", "3500 at 35"),
        ("Straße É", "straße é"),
        ("", ""),
        ("The a an", ""),
        ("?!", ""),
    ],
)
def test_normalisation(text: str, expected: str) -> None:
    assert normalise(text) == expected


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1990–1995", "1990 - 1995"),
        ("don’t", "don't"),
        ("«Bergen»", "Bergen"),
        ("the bank ’s money", "the bank's money"),
        ("−5 °C", "-5 °C"),
        ("ﬁsh", "fish"),
        ("东京。", "东京"),
        ("“The Red Owl”", "red owl"),
    ],
)
def test_the_unicode_switch_folds_what_is_written_in_several_ways(one: str, other: str) -> None:
    assert normalise(one) != normalise(other)
    assert normalise(one, unicode=True) == normalise(other, unicode=True)


@given(st.text())
def test_the_unicode_switch_changes_no_ascii_text_and_may_be_applied_twice(text: str) -> None:
    ascii_text = text.encode("ascii", "ignore").decode()
    assert normalise(ascii_text, unicode=True) == normalise(ascii_text)
    folded = normalise(text, unicode=True)
    assert not any(unicodedata.category(sign).startswith("P") for sign in folded)


@given(WORDS, WORDS, WORDS)
def test_a_span_of_the_context_is_covered_by_every_measure(
    before: list[str], span: list[str], after: list[str]
) -> None:
    context = read_context(" ".join(before + span + after))
    answer = normalise(" ".join(span))
    assert span_coverage(answer, context).value == 1
    assert span_coverage_tokens(answer, context).value == 1
    assert unigram_coverage(answer, context).value == 1
    assert bigram_coverage(answer, context).value in (1, None)


@given(st.text(), st.text())
def test_a_token_bounded_span_is_a_span_and_scores_stay_in_range(answer: str, text: str) -> None:
    context, answer = read_context(text), normalise(answer)
    assert span_coverage_tokens(answer, context).value <= span_coverage(answer, context).value
    for coverage in (unigram_coverage, bigram_coverage):
        assert coverage(answer, context).value in (None,) or (
            0 <= coverage(answer, context).value <= 1
        )


@pytest.mark.parametrize("answer", ["he", "12", "3", "90199"])
def test_a_substring_inside_words_counts_for_the_literal_measure_only(answer: str) -> None:
    context = read_context(CONTEXT)
    assert span_coverage(answer, context).value == 1
    assert span_coverage_tokens(answer, context).value == 0


def test_an_answer_that_normalises_to_nothing_is_covered_by_no_context() -> None:
    context = read_context(CONTEXT)
    for coverage in (span_coverage, span_coverage_tokens, unigram_coverage, bigram_coverage):
        assert coverage("", context).value == 0


def test_n_gram_coverage_counts_repetition() -> None:
    context = read_context("red owl")
    assert unigram_coverage("owl owl cow red", context).value == 3 / 4
    assert bigram_coverage("red owl red owl", context).value == 2 / 3


def test_an_answer_of_one_token_has_no_bigram() -> None:
    assert bigram_coverage("owl", read_context("red owl")) == UNDEFINED


def test_bigrams_do_not_cross_passages() -> None:
    context = read_context("the red\nowl flies")
    assert bigram_coverage("red owl", context).value == 0
    assert span_coverage("red owl", context).value == 1


def test_exact_match_takes_any_reference() -> None:
    assert exact_match("red owl", ["A cow", "The Red Owl."]).value == 1
    assert exact_match("red", ["A cow", "The Red Owl."]).value == 0
    assert exact_match("red", []) == UNDEFINED
