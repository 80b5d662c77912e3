"""Raw files of the six context-dependent sources."""

import random
from pathlib import Path

from reset_tuning.mini.contexts import Question, draw_article, draw_question
from reset_tuning.mini.facts import Passage, draw_passages, relation_of
from reset_tuning.mini.raw_rows import (
    RawSplit,
    Row,
    duplicate,
    hexadecimal,
    write_csv,
    write_json,
    write_json_lines,
)
from reset_tuning.mini.words import split_words, with_article

SEEN_DOMAINS = ("person", "place")
UNSEEN_DOMAIN = "drug"
N_RETRIEVED = (5, 5, 5, 6, 7)  # most questions come with five passages, some with more
BIOASQ_DIRTY_RATE = 0.2  # yes-no and summary questions are common there
ARCHIVE = "http://miniature.invalid"

_QUERY_TYPES = {"place": "LOCATION", "year": "NUMERIC", "illness": "DESCRIPTION"}


def _question(
    generator: random.Random, domain: str, noise: float = 0.0, as_clue: bool = False
) -> Question:
    """Draw a question over as many passages as a retriever found."""
    return draw_question(generator, domain, noise, generator.choice(N_RETRIEVED), as_clue)


def _seen_domain(generator: random.Random) -> str:
    return generator.choice(SEEN_DOMAINS)


def _without_gold(generator: random.Random, question: Question) -> list[Passage]:
    """Return the passages of a question with the gold one replaced by another entity's."""
    taken = {passage.entity for passage in question.passages}
    while True:
        (other,) = draw_passages(generator, question.fact.domain, 1)
        told = any(fact.value == question.answer for fact in other.facts)
        if other.entity not in taken and not told:
            break
    passages = list(question.passages)
    passages[question.gold] = other
    return passages


def _mentions(text: str, answer: str) -> bool:
    """Tell whether the answer's words stand side by side in the text, as DPR's matching does."""
    words, wanted = split_words(text.lower()), split_words(answer.lower())
    starts = range(len(words) - len(wanted) + 1)
    return any(words[start : start + len(wanted)] == wanted for start in starts)


def _aliases(generator: random.Random, question: Question) -> list[str]:
    """Return the accepted short answers, the plain one first; some come with an article too."""
    if question.answer[0].isdigit() or question.answer[0].isupper() or generator.random() < 0.8:
        return [question.answer]
    return [question.answer, with_article(question.answer)]


def write_nq(split: RawSplit) -> list[Path]:
    """Write NQ in DPR's retriever-results form: question, answers, ctxs in retrieval order."""

    def usable(generator: random.Random, index: int) -> Row:
        question = _question(generator, _seen_domain(generator))
        return _retrieved(split, generator, index, question, list(question.passages))

    def gold_absent(generator: random.Random, index: int, _: list[Row]) -> Row:
        while True:
            question = _question(generator, _seen_domain(generator))
            passages = _without_gold(generator, question)
            if not any(_mentions(passage.text, question.answer) for passage in passages):
                return _retrieved(split, generator, index, question, passages)

    rows = list(split.rows(usable, [gold_absent, duplicate]))
    return [write_json(split.folder / f"nq-{split.split}.json", rows)]


def _retrieved(
    split: RawSplit,
    generator: random.Random,
    index: int,
    question: Question,
    passages: list[Passage],
) -> Row:
    """Return a question with its retrieved passages; scores are strings, as DPR writes them."""
    score = 80 + 10 * generator.random()
    answers = _aliases(generator, question)
    contexts = []
    for place, passage in enumerate(passages):
        score -= generator.random()
        contexts.append(
            {
                "id": f"wiki:{split.split}-{index}-{place}",
                "title": passage.entity,
                "text": passage.text,
                "score": f"{score:.4f}",
                "has_answer": any(_mentions(passage.text, answer) for answer in answers),
            }
        )
    return {"question": question.text, "answers": answers, "ctxs": contexts}


def write_ms_marco(split: RawSplit) -> list[Path]:
    """Write MS MARCO v2.1 as rows of the hub's form: passages is a struct of lists."""
    noise = split.noise.invention_rate if split.is_train else 0.0

    def usable(generator: random.Random, index: int) -> Row:
        question = _question(generator, _seen_domain(generator), noise)
        selected = [place == question.gold for place in range(len(question.passages))]
        return _marco_row(split, index, question, selected, [question.sentence])

    def not_well_formed(generator: random.Random, index: int, _: list[Row]) -> Row:
        question = _question(generator, _seen_domain(generator))
        selected = [place == question.gold for place in range(len(question.passages))]
        return _marco_row(split, index, question, selected, generator.choice(([], [""])))

    def unselected(generator: random.Random, index: int, _: list[Row]) -> Row:
        question = _question(generator, _seen_domain(generator))
        selected = [False] * len(question.passages)
        return _marco_row(split, index, question, selected, [question.sentence])

    rows = split.rows(usable, [not_well_formed, not_well_formed, unselected, duplicate])
    name = "train_v2.1.jsonl" if split.is_train else "dev_v2.1.jsonl"
    return [write_json_lines(split.folder / name, rows)]


def _marco_row(
    split: RawSplit, index: int, question: Question, selected: list[bool], well_formed: list[str]
) -> Row:
    answered = any(selected)
    kind = relation_of(question.fact).value
    return {
        "answers": [question.answer] if answered else ["No Answer Present."],
        "passages": {
            "is_selected": [int(flag) for flag in selected],
            "passage_text": [passage.text for passage in question.passages],
            "url": [f"{ARCHIVE}/{passage.entity.lower()}" for passage in question.passages],
        },
        "query": question.text,
        "query_id": index + (0 if split.is_train else 1_000_000),
        "query_type": _QUERY_TYPES.get(kind, "ENTITY"),
        "wellFormedAnswers": well_formed,
    }


def write_cnn_dailymail(split: RawSplit) -> list[Path]:
    """Write CNN/DailyMail's csv: id, article, highlights (one sentence a line)."""
    noise = split.noise.invention_rate if split.is_train else 0.0

    def usable(generator: random.Random, index: int) -> Row:
        article = draw_article(generator, _seen_domain(generator), "news", noise)
        return {
            "id": hexadecimal(split.seed, "cnn_dailymail", split.split, index, length=40),
            "article": article.text,
            "highlights": "\n".join(article.summary),
        }

    def no_highlights(generator: random.Random, index: int, _: list[Row]) -> Row:
        return usable(generator, index) | {"highlights": ""}

    rows = split.rows(usable, [no_highlights, duplicate])
    path = split.folder / f"{split.split}.csv"
    return [write_csv(path, ("id", "article", "highlights"), rows)]


def write_wikisum(split: RawSplit) -> list[Path]:
    """Write WikiSum (Cohen et al. 2021) as jsonl: url, title, summary, article, step_headers."""

    def usable(generator: random.Random, _: int) -> Row:
        article = draw_article(generator, UNSEEN_DOMAIN, "article")
        return {
            "url": f"{ARCHIVE}/{article.entity}",
            "title": article.heading.removesuffix("."),
            "summary": " ".join(article.summary),
            "article": article.text,
            "step_headers": "\n".join(article.sentences[:2]),
        }

    def no_summary(generator: random.Random, index: int, _: list[Row]) -> Row:
        return usable(generator, index) | {"summary": ""}

    rows = split.rows(usable, [no_summary, duplicate])
    return [write_json_lines(split.folder / f"{split.split}.jsonl", rows)]


def write_bioasq(split: RawSplit) -> list[Path]:
    """Write BioASQ's golden files: questions with snippets and exact answers of three shapes."""

    def usable(generator: random.Random, index: int) -> Row:
        question = _question(generator, UNSEEN_DOMAIN)
        exact = generator.choice(
            (question.answer, [question.answer], [_aliases(generator, question)])
        )
        kind = "list" if exact == [[question.answer]] else "factoid"
        return _bioasq_row(split, index, kind, question, list(question.passages)) | {
            "exact_answer": exact
        }

    def yes_or_no(generator: random.Random, index: int, _: list[Row]) -> Row:
        question = _question(generator, UNSEEN_DOMAIN)
        row = _bioasq_row(split, index, "yesno", question, list(question.passages))
        body = f"Is {question.fact.entity} a drug?"
        return row | {"body": body, "exact_answer": "yes"}

    def summary(generator: random.Random, index: int, _: list[Row]) -> Row:
        question = _question(generator, UNSEEN_DOMAIN)
        return _bioasq_row(split, index, "summary", question, list(question.passages))

    def gold_absent(generator: random.Random, index: int, _: list[Row]) -> Row:
        while True:
            question = _question(generator, UNSEEN_DOMAIN)
            passages = _without_gold(generator, question)
            if not any(_mentions(passage.text, question.answer) for passage in passages):
                row = _bioasq_row(split, index, "factoid", question, passages)
                return row | {"exact_answer": [question.answer]}

    rows = list(split.rows(usable, [yes_or_no, summary, gold_absent], BIOASQ_DIRTY_RATE))
    half = (len(rows) + 1) // 2
    return [
        write_json(split.folder / f"9B{number}_golden.json", {"questions": part})
        for number, part in ((1, rows[:half]), (2, rows[half:]))
        if part
    ]


def _bioasq_row(
    split: RawSplit, index: int, kind: str, question: Question, passages: list[Passage]
) -> Row:
    """Return a question of a golden file without its exact answer."""
    urls = [f"{ARCHIVE}/pubmed/{index:06d}{place}" for place in range(len(passages))]
    return {
        "body": question.text,
        "documents": urls,
        "triples": [],
        "ideal_answer": [question.sentence],
        "concepts": [],
        "type": kind,
        "id": hexadecimal(split.seed, "bioasq", split.split, index, length=24),
        "snippets": [
            {
                "offsetInBeginSection": 0,
                "offsetInEndSection": len(passage.text),
                "text": passage.text,
                "beginSection": "abstract",
                "document": url,
                "endSection": "abstract",
            }
            for passage, url in zip(passages, urls, strict=True)
        ],
    }


def write_searchqa(split: RawSplit) -> list[Path]:
    """Write SearchQA's raw files: one quiz-show clue a file, with its search results."""

    def usable(generator: random.Random, index: int) -> Row:
        question = _question(generator, _seen_domain(generator), as_clue=True)
        return _searchqa_row(generator, index, question, list(question.passages))

    def gold_absent(generator: random.Random, index: int, _: list[Row]) -> Row:
        while True:
            question = _question(generator, _seen_domain(generator), as_clue=True)
            passages = _without_gold(generator, question)
            if not any(_mentions(passage.text, question.answer) for passage in passages):
                return _searchqa_row(generator, index, question, passages)

    paths = []
    for row in split.rows(usable, [gold_absent]):
        slug = "".join(row["category"].lower().split())
        name = f"{row['id']:06d}-{row['show_number']}_jeopardy_{slug}_{row['value'][1:]}.json"
        paths.append(write_json(split.folder / split.split / "000000-019999" / name, row))
    return paths


def _searchqa_row(
    generator: random.Random, index: int, question: Question, passages: list[Passage]
) -> Row:
    """Return a clue with its search results, of which a few have no snippet."""
    results: list[Row] = [
        {
            "url": f"{ARCHIVE}/search/{index}/{place}",
            "snippet": passage.text,
            "related_links": None,
            "title": passage.entity,
        }
        for place, passage in enumerate(passages)
    ]
    if generator.random() < 0.1:
        blank = {"url": f"{ARCHIVE}/none", "snippet": None, "related_links": None, "title": None}
        results.insert(generator.randrange(len(results) + 1), blank)
    return {
        "category": f"{question.fact.domain.upper()}S",
        "search_results": results,
        "air_date": f"20{index % 20:02d}-11-09",
        "question": question.text,
        "value": f"${200 * (1 + index % 5)}",
        "round": "Jeopardy!",
        "answer": question.answer,
        "id": index,
        "show_number": str(3000 + index),
    }
