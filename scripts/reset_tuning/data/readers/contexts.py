"""Readers of question-answering and summarization sets."""

import ast
import itertools
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from reset_tuning.data.candidates import Candidate, clean, clean_all, members
from reset_tuning.data.passages import answer_finder, choose_passages, joined
from reset_tuning.data.readers.formats import Format, ReaderOptions, signatures
from reset_tuning.data.rows import Record, TableRow

_TAG = re.compile(r"<[^>]*>")
_SOURCE_END = re.compile(r"< EOT >\s*")
_PASSAGE_WORDS = 100  # the length of RobustQA's and DPR's passages
_NO_ANSWER = "No Answer Present."  # MS MARCO's way to say that the list is empty
_BIOASQ_TYPES = {"factoid", "list"}  # those with an answer to extract, as in RobustQA


def _texts_of(values: Any) -> tuple[str, ...]:
    """Return the texts of a text or list; raise ValueError for a text that spells a list.

    Csv files write an empty list as the text "[]", MS MARCO's raw files too. Any other is not taken
    apart: numpy's "['a' 'b']" would become one word.
    """
    if isinstance(values, str) and values.strip().startswith("["):
        spelt = _spelt_list(values.strip())
        if spelt:
            raise ValueError(f"{values[:60]!r} is a list written as text; write it as a list")
        if spelt == []:
            return ()
    return clean_all(values)


def _spelt_list(text: str) -> list[Any] | None:
    """Return the list that a text spells in JSON or Python, or None."""
    for parse in (json.loads, ast.literal_eval):
        try:
            found = parse(text)
        except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
            continue
        return found if isinstance(found, list) else None
    return None


# --- extractive question answering ----------------------------------------------------------------


def extractive_candidate(
    question: Any, answers: Any, passages: Sequence[str], options: ReaderOptions, *faults: str
) -> Candidate:
    """Return an extractive candidate over at most `max_passages` passages.

    Answers that stand in these passages come first, so that a model is trained on a span of its
    context; the others stay as further references. Blank passages are none; a question without any
    breaks the rule `no_context`, which its format names.
    """
    references = tuple(dict.fromkeys(_texts_of(answers)))
    known = [passage for passage in passages if passage.strip()]
    finder = answer_finder(references)
    chosen = choose_passages(
        known, lambda index: finder(known[index]), options.max_passages, options.gold
    )
    is_found = bool(chosen.gold_ranks)
    return Candidate(
        context=joined(chosen.passages),
        question=clean(question),
        references=_found_first(references, chosen.passages) if is_found else references,
        gold_ranks=chosen.gold_ranks,
        gold_retrieved=chosen.gold_retrieved,
        faults=frozenset(faults if known else (*faults, "no_context")),
    )


def _found_first(references: tuple[str, ...], passages: Sequence[str]) -> tuple[str, ...]:
    """Return the references with those that some passage holds in front, else in their order."""

    def is_missing(reference: str) -> bool:
        finder = answer_finder([reference])
        return not any(finder(passage) for passage in passages)

    return tuple(sorted(references, key=is_missing))


def read_passages(record: Record, options: ReaderOptions) -> Iterator[Candidate]:
    """Yield a question with retrieved passages: DPR/FiD `ctxs`, RobustQA `passages`, or none."""
    if "ctxs" in record:
        passages = [clean(passage["text"]) for passage in members(record["ctxs"])]
    elif "passages" in record:
        passages = _passage_texts(record["passages"])
    else:
        passages = list(clean_all(record.get("context")))
    question = record["question"] if "question" in record else record["query"]
    answers = record["answers"] if "answers" in record else record["answer"]
    if isinstance(answers, dict):  # SQuAD's columns {text, answer_start}
        answers = answers["text"]
    yield extractive_candidate(question, answers, passages, options)


def _passage_texts(passages: Any) -> list[str]:
    return [clean(item["text"] if isinstance(item, dict) else item) for item in members(passages)]


def questions_of(record: Record) -> Iterator[tuple[str, Record]]:
    """Yield a record itself, or a MultiQA record once for each of its questions.

    MultiQA's files start with a header, which holds no question.
    """
    if "header" in record:
        return
    if "qas" not in record:
        yield "", record
        return
    for number, question in enumerate(members(record["qas"]), start=1):
        yield str(number), record | {"qas": [question]}


def question_of(record: Record) -> Record:
    """Return a record itself, or the question of a MultiQA record of one with its passages."""
    if "qas" not in record:
        return record
    (question,) = record["qas"]
    return {
        "question": question["question"],
        "answers": _multiqa_answers(question["answers"]),
        "passages": [text for page in record["context"]["documents"] for text in _texts(page)],
    }


def _texts(document: Record) -> list[str]:
    """Return a MultiQA document as passages; a web page is rebuilt from its words and cut up."""
    tags = document.get("metadata", {}).get("tokens", {}).get("text", {}).get("is_html_token")
    if not tags:
        return [clean(document["text"])]
    tokens = zip(document["tokens"]["text"], tags, strict=True)
    words = [token[0] for token, is_tag in tokens if not is_tag]
    starts = range(0, len(words), _PASSAGE_WORDS)
    return [" ".join(words[start : start + _PASSAGE_WORDS]) for start in starts]


def _multiqa_answers(answers: Record) -> list[str]:
    """Return the spans of MultiQA's answer candidates, without the web page's tags."""
    candidates = answers["open-ended"]["answer_candidates"]
    spans = [candidate.get("extractive", {}).get("single_answer") for candidate in candidates]
    return [_TAG.sub("", clean(span["answer"])) for span in spans if span]


def read_searchqa(record: Record, options: ReaderOptions) -> Iterator[Candidate]:
    """Yield a raw Jeopardy question with the snippets that a search engine found for it."""
    if "search_results" not in record:
        yield from read_passages(record, options)
        return
    results = record["search_results"]
    found = results["snippets"] if isinstance(results, dict) else [r["snippet"] for r in results]
    snippets = [clean(snippet) for snippet in members(found)]
    yield extractive_candidate(record["question"], record["answer"], snippets, options)


def bioasq_questions(record: Record) -> Iterator[tuple[str, Any]]:
    """Yield the questions of a golden file, or a record that is one already."""
    if "questions" not in record:
        yield "", record
        return
    for number, question in enumerate(members(record["questions"]), start=1):
        yield str(number), question


def read_bioasq(record: Record, options: ReaderOptions) -> Iterator[Candidate]:
    """Yield a BioASQ question; its exact answer is a string, a list or a list of synonym lists."""
    snippets = [clean(snippet["text"]) for snippet in members(record.get("snippets") or [])]
    is_supported = record["type"] in _BIOASQ_TYPES
    answers = record.get("exact_answer") if is_supported else None  # some answer yes with `true`
    faults = () if is_supported else ("unsupported_type",)
    yield extractive_candidate(record["body"], answers, snippets, options, *faults)


# --- abstractive question answering ---------------------------------------------------------------


def ms_marco_rows(record: Record) -> Iterator[tuple[str, Record]]:
    """Yield a row itself, or the rows of an object of columns keyed by row, as in raw v2.1 files.

    Those files' rows come apart already, unless the object is one of several or its keys are odd.
    A row that the column `query` lacks comes without one.
    """
    if isinstance(record, TableRow) or not isinstance(record["query"], dict):
        yield "", record
        return
    for key in record["query"]:
        yield key, {name: column.get(key) for name, column in record.items()}
    others = {name: column for name, column in record.items() if name != "query"}
    for key in dict.fromkeys(itertools.chain(*others.values())):
        if key not in record["query"]:
            yield key, {name: column.get(key) for name, column in others.items()}


def read_ms_marco(record: Record, options: ReaderOptions) -> list[Candidate]:
    """Return an MS MARCO query; the passages that annotators selected count as gold."""
    references = _ms_marco_answers(record[options.answers])
    texts, selected = _ms_marco_passages(record["passages"])
    known = [place for place, text in enumerate(texts) if text and not text.isspace()]
    chosen = choose_passages(
        [texts[place] for place in known],
        lambda index: bool(int(selected[known[index]] or 0)),  # some write "0"
        options.max_passages,
        options.gold,
    )
    return [
        Candidate(
            context=joined(chosen.passages),
            question=clean(record["query"]),
            references=references,
            gold_ranks=chosen.gold_ranks,
            gold_retrieved=chosen.gold_retrieved,
            faults=frozenset() if known else frozenset({"no_context"}),
        )
    ]


def _ms_marco_passages(passages: Any) -> tuple[list[str], list[Any]]:
    """Return texts and marks of the hub's struct of lists or of the raw list of structs.

    The test files have no `is_selected`.
    """
    if isinstance(passages, dict):
        texts = [clean(text) for text in members(passages["passage_text"])]
        marks = members(passages.get("is_selected") or [0] * len(texts))
        if len(marks) != len(texts):
            raise ValueError(f"{len(texts)} passages have {len(marks)} marks is_selected")
        return texts, marks
    texts = [clean(row["passage_text"]) for row in members(passages)]
    return texts, [row.get("is_selected", 0) for row in passages]


def _ms_marco_answers(answers: Any) -> tuple[str, ...]:
    return tuple(text for text in _texts_of(answers) if text != _NO_ANSWER)


# --- summarization --------------------------------------------------------------------------------


def read_cnn_dailymail(record: Record, options: ReaderOptions) -> Iterator[Candidate]:
    """Yield an article with its highlights, which are one text or a list of sentences."""
    highlights = "\n".join(_texts_of(record["highlights"]))
    yield Candidate(context=clean(record["article"]), references=clean_all(highlights))


def read_wikisum(record: Record, options: ReaderOptions) -> Iterator[Candidate]:
    """Yield a wikiHow article with its summary, or an article's cited texts with its lead.

    The latter are the form of Liu et al. (2018), one text each, or that of WikiAsp, which stands in
    for it: its `inputs` are sentences of the cited pages, its `targets` (aspect, text) pairs.
    """
    if "summary" in record:
        context, summary = clean(record["article"]), clean(record["summary"])
    else:
        sentences = [_SOURCE_END.sub("", clean(text)) for text in _one_or_more(record["inputs"])]
        context = "\n".join(sentence for sentence in sentences if sentence.strip())
        summary = "\n".join(map(_target_text, _one_or_more(record["targets"])))
    yield Candidate(context=context, references=clean_all(summary))


def _one_or_more(texts: Any) -> list[Any]:
    return [texts] if isinstance(texts, str) else members(texts)


def _target_text(target: Any) -> str:
    """Return a text, or that of an (aspect, text) pair."""
    if isinstance(target, str):
        return clean(target)
    _, text = members(target)
    return clean(text)


_MULTIQA = ("context qas", "header")

FORMATS = (
    Format(
        "passages",
        "extractive_qa",
        signatures(
            "question answers ctxs",
            "query answers passages",
            "question answers context",
            "question answer",
            *_MULTIQA,
        ),
        read_passages,
        expand=questions_of,
        part=question_of,
        excluded=frozenset({"search_results", "query_type", "wellFormedAnswers"}),
        rules=("no_context",),
    ),
    Format(
        "bioasq",
        "extractive_qa",
        signatures("questions", "body type"),
        read_bioasq,
        expand=bioasq_questions,
        rules=("unsupported_type", "no_context"),
    ),
    Format(
        "searchqa",
        "extractive_qa",
        signatures("question answer search_results", *_MULTIQA),
        read_searchqa,
        expand=questions_of,
        part=question_of,
        rules=("no_context",),
    ),
    Format(
        "ms_marco",
        "abstractive_qa",
        signatures("query passages answers", "query passages wellFormedAnswers", "query passages"),
        read_ms_marco,
        expand=ms_marco_rows,
        rules=("no_context",),
        columns=("query", "passages", "answers", "wellFormedAnswers"),
        answers_by_option=True,
    ),
    Format("cnn_dailymail", "summarization", signatures("article highlights"), read_cnn_dailymail),
    Format(
        "wikisum", "summarization", signatures("article summary", "inputs targets"), read_wikisum
    ),
)
