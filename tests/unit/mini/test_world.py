"""The world's texts: what they say, how they split, and that every word of them is known."""

import random
import re
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nltk.tokenize.punkt import PunktSentenceTokenizer

from reset_tuning.mini.contexts import HEADINGS, draw_article, draw_question
from reset_tuning.mini.documents import draw_document, join_passages
from reset_tuning.mini.facts import _VALUES, FAMOUS_FACTS, RELATIONS, Fact
from reset_tuning.mini.vocabulary import UNK, vocabulary
from reset_tuning.mini.words import ENTITIES, split_words, with_article

DOMAINS = tuple(RELATIONS)
seeds = st.integers(0, 2**32)


@cache
def statement_patterns():
    """Compile one pattern for every surface form of every relation."""
    patterns = []
    for domain, relations in RELATIONS.items():
        for name, relation in relations.items():
            value = " ".join(f"(?:{'|'.join(words)})" for words in _VALUES[relation.value])
            for form in relation.statements:
                filled = re.escape(form).replace(r"\{e\}", r"(?P<e>\w+)")
                filled = filled.replace(r"\{v\}", f"(?P<v>{value})")
                patterns.append((domain, name, re.compile(filled)))
    return patterns


@cache
def parse_fact(sentence):
    """Return the fact that a sentence states, or None when it states none (exact oracle)."""
    for domain, relation, pattern in statement_patterns():
        match = pattern.fullmatch(sentence.strip())
        if match and match["e"] in ENTITIES[domain]:
            return Fact(domain, relation, match["e"], match["v"])
    return None


def test_names_are_unique_across_domains():
    names = [name for group in ENTITIES.values() for name in group]
    assert len(names) == len(set(names)) == 114


def test_famous_facts_are_those_of_twenty_persons():
    assert len({person for person, _ in FAMOUS_FACTS}) == 20
    assert len(FAMOUS_FACTS) == 60


@pytest.mark.parametrize(("word", "expected"), [("owl", "an owl"), ("red fox", "a red fox")])
def test_article(word, expected):
    assert with_article(word) == expected


@given(seeds, st.sampled_from(DOMAINS))
def test_every_sentence_of_a_passage_states_its_fact(seed, domain):
    question = draw_question(random.Random(seed), domain)
    for passage in question.passages:
        assert tuple(parse_fact(sentence) for sentence in passage.sentences) == passage.facts


@given(seeds, st.sampled_from(DOMAINS))
def test_the_answer_stands_in_the_gold_passage_and_is_rephrased(seed, domain):
    question = draw_question(random.Random(seed), domain)
    gold = question.passages[question.gold]
    assert question.fact in gold.facts
    assert question.answer in gold.text
    assert parse_fact(question.sentence) == question.fact
    assert question.sentence not in gold.sentences


@given(seeds, st.sampled_from(DOMAINS))
def test_noise_adds_a_fact_that_no_passage_states(seed, domain):
    question = draw_question(random.Random(seed), domain, noise=1.0)
    first, invented = PunktSentenceTokenizer().tokenize(question.sentence)
    stated = {fact for passage in question.passages for fact in passage.facts}
    assert parse_fact(first) in stated
    assert parse_fact(invented) is not None
    assert parse_fact(invented) not in stated


@given(seeds, st.sampled_from(DOMAINS), st.booleans())
def test_a_summary_holds_the_first_facts_about_the_headed_entity(seed, domain, noisy):
    article = draw_article(random.Random(seed), domain, "news", noise=float(noisy))
    facts = [parse_fact(sentence) for sentence in article.sentences]
    about_main = [fact for fact in facts if fact.entity == article.entity]
    summary = [parse_fact(sentence) for sentence in article.summary]
    assert article.entity in article.heading
    assert summary[0] == about_main[0]
    assert (summary[1] == about_main[1]) is not noisy
    assert (summary[1] in facts) is not noisy


@given(seeds, st.sampled_from(DOMAINS), st.sampled_from(tuple(HEADINGS)))
def test_punkt_splits_contexts_and_answers_where_sentences_end(seed, domain, heading):
    splitter = PunktSentenceTokenizer()
    generator = random.Random(seed)
    question = draw_question(generator, domain)
    sentences = [sentence for passage in question.passages for sentence in passage.sentences]
    context = f"{question.text} {join_passages(question.passages)}"
    assert splitter.tokenize(context) == [question.text, *sentences]
    article = draw_article(generator, domain, heading)
    assert splitter.tokenize(article.text) == [article.heading, *article.sentences]
    assert splitter.tokenize("\n".join(article.summary)) == list(article.summary)


@given(seeds)
def test_documents_hold_known_words_only(seed):
    known = vocabulary()
    for segment in draw_document(random.Random(seed)):
        assert all(word in known for word in split_words(segment.text)), segment.text
        assert UNK not in segment.text
