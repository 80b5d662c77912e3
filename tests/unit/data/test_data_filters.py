"""Filters, passages and the folding of instructions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reset_tuning.data.candidates import Candidate, content_id, normalise
from reset_tuning.data.filters import FILTER_NAMES, build_filters
from reset_tuning.data.passages import answer_finder, choose_passages
from reset_tuning.errors import InputError

WORDS = "w " * 10


def passes(item: str | dict, candidate: Candidate) -> bool:
    (rule,) = build_filters("x", [item], ())
    return rule.keep(candidate)


@pytest.mark.parametrize(
    ("item", "kept", "dropped"),
    [
        ("empty_instruction", {"instruction": "a"}, {"instruction": " \n"}),
        ("empty_response", {"references": ("a",)}, {"references": ()}),
        ("has_context", {"instruction": "a"}, {"instruction": "a", "context": "b"}),
        ("has_context", {"instruction": "a"}, {"instruction": "a", "needs_context": True}),
        ("short_response", {"references": (WORDS + "w",)}, {"references": (WORDS,)}),
        ({"short_response": {"words": 1}}, {"references": ("a b",)}, {"references": ("a",)}),
        ("short_response", {"references": (WORDS + "w",)}, {"references": ()}),
        ({"language": {"languages": ["en", "de"]}}, {"language": "de"}, {"language": "fr"}),
        ("language", {"language": "en"}, {"language": None}),
        ("low_rating", {"rating": 0.6, "raters": 2}, {"rating": 0.5, "raters": 2}),
        ("low_rating", {"rating": 0.6, "raters": 2}, {"rating": 0.6, "raters": 1}),
        ({"low_rating": {"above": 0.7}}, {"rating": 1, "raters": 2}, {"rating": 0.7, "raters": 3}),
        ({"low_rating": {"annotators": 1}}, {"rating": 0.8, "raters": 1}, {"rating": 0.8}),
        ("low_rating", {"rating": 1.0, "raters": 9}, {"rating": None, "raters": 9}),
        ("no_answer", {"references": ("a",)}, {"references": ()}),
        ("gold_not_in_passages", {"gold_ranks": (3,)}, {"gold_ranks": ()}),
        ("no_selected_passage", {"gold_ranks": (3,)}, {"gold_ranks": ()}),
        ("empty_context", {"context": "a"}, {"context": " "}),
        ("empty_question", {"question": "a"}, {"question": " "}),
        ("empty_question", {"question": "a"}, {"question": None}),
        ("no_answer", {"references": ("a",)}, {"references": (" ",)}),
        ("empty_response", {"references": ("a",)}, {"references": ("", "a")}),
        ("no_context", {}, {"faults": frozenset({"no_context"})}),
        ("not_assistant_pair", {}, {"faults": frozenset({"not_assistant_pair"})}),
    ],
)  # fmt: skip
def test_each_filter(item: str | dict, kept: dict, dropped: dict) -> None:
    assert passes(item, Candidate(**kept))
    assert not passes(item, Candidate(**dropped))


def test_format_rules_come_first_unless_listed() -> None:
    rules = build_filters("x", ["no_answer", "no_context"], ("unsupported_type", "no_context"))
    assert [rule.name for rule in rules] == ["unsupported_type", "no_answer", "no_context"]


def test_a_reader_may_mark_faults_of_its_own() -> None:
    (rule,) = build_filters("quiz", [], ("too_easy",))
    assert rule.name == "too_easy" and rule.keep(Candidate())
    assert not rule.keep(Candidate(faults=frozenset({"too_easy"})))


@pytest.mark.parametrize("item", ["too_long", {"too_long": {}}])
def test_unknown_filters_name_the_allowed(item: str | dict) -> None:
    with pytest.raises(InputError, match="'too_long' is not a filter; allowed are") as caught:
        build_filters("dolly", [item], ())
    assert all(name in str(caught.value) for name in FILTER_NAMES)


@pytest.mark.parametrize(
    ("item", "sentence"),
    [
        ({"short_response": {"letters": 3}}, "short_response does not take the options letters"),
        ({"seen_in_training": {"x": 1}}, "seen_in_training does not take the options x"),
        ({"duplicate_instruction": {"x": 1}}, "duplicate_instruction does not take the options x"),
        ({"a": {}, "b": {}}, "neither a filter's name"),
        (3, "neither a filter's name"),
    ],
)  # fmt: skip
def test_wrong_options_are_refused(item: object, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        build_filters("dolly", [item], ())


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("  Hello,\tWorld! ", "hello world"),
        ("“Straße”", "strasse"),
        ("a-b_c", "a b c"),
        ("?!", "?!"),
        ("5 * 3 = 15", "5 * 3 = 15"),
        ("नमस्ते", "नमस्ते"),
    ],
)
def test_folding(text: str, folded: str) -> None:
    assert normalise(text) == folded


@given(st.text())
def test_folding_twice_changes_nothing(text: str) -> None:
    assert normalise(normalise(text)) == normalise(text) or not normalise(text).isascii()


@given(st.text(), st.text())
def test_ids_are_16_digits_and_follow_the_content(first: str, second: str) -> None:
    ids = {content_id("d", "k", text, None, None, ["r"]) for text in (first, second)}
    assert len(ids) == len({first, second})
    assert all(len(identifier) == 16 and int(identifier, 16) >= 0 for identifier in ids)


def test_ids_tell_fields_apart() -> None:
    fields = [("a", None, None), (None, "a", None), (None, None, "a"), ("", "a", None)]
    assert len({content_id("d", "k", *values, []) for values in fields}) == 4


@pytest.mark.parametrize(
    ("answer", "passage", "found"),
    [
        ("he", "the theatre", False),
        ("He", "so he said", True),
        ("New York", "in new  york.", True),
        ("U.S.", "the U.S. army", True),
        ("café", "Le cafe\u0301 noir", True),
        ("$5", "it is $5.", True),
        ("5", "it is 55", False),
        ("!", "no", False),
        (" ", "a b", False),
    ],
)
def test_answers_are_found_as_whole_tokens(answer: str, passage: str, found: bool) -> None:
    assert answer_finder([answer])(passage) is found


PASSAGES = [f"p{index}" for index in range(8)]


@pytest.mark.parametrize(
    ("gold", "rule", "chosen", "ranks", "retrieved"),
    [
        ({1, 3, 7}, "promote", "p0 p1 p2 p3 p4", (2, 4), 2),
        ({6, 7}, "promote", "p0 p1 p2 p3 p6", (5,), 7),
        ({6, 7}, "require_in_top5", "p0 p1 p2 p3 p4", (), None),
        (set(), "promote", "p0 p1 p2 p3 p4", (), None),
    ],
)
def test_a_gold_passage_below_rank_five(
    gold: set, rule: str, chosen: str, ranks: tuple, retrieved: int | None
) -> None:
    found = choose_passages(PASSAGES, lambda index: index in gold, 5, rule)
    assert found == (chosen.split(), ranks, retrieved)


@given(st.lists(st.booleans(), max_size=12), st.integers(1, 6))
def test_passages_stay_few_and_in_order(flags: list[bool], most: int) -> None:
    passages = list(range(len(flags)))
    chosen, ranks, retrieved = choose_passages(passages, flags.__getitem__, most, "promote")
    assert chosen == sorted(chosen) and len(chosen) == min(most, len(flags))
    assert [place for place, index in enumerate(chosen, 1) if flags[index]] == list(ranks)
    assert bool(ranks) == any(flags)
    assert retrieved == (flags.index(True) + 1 if any(flags) else None)
