"""SummaC-ZS: entailment of an answer's sentences by the context's sentences.

Max over the context's sentences, mean over the answer's. Two variants come from one pass of the NLI
model: `summac_zs_entailment` (entailment only, in [0, 1]) and `summac_zs` (the package's default,
entailment minus contradiction, in [-1, 1]).
"""

import logging
import math
import re
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from itertools import groupby
from operator import itemgetter
from typing import Any

import pandas as pd

from reset_tuning.errors import InputError
from reset_tuning.journal import Sidecar
from reset_tuning.reuse import count_known
from reset_tuning.scoring.means import Means, digest_of
from reset_tuning.scoring.progress import Progress
from reset_tuning.scoring.sentences import SPLITTERS, sentence_splitter
from reset_tuning.scoring.summac_fast import SummaCFast
from reset_tuning.scoring.summac_package import SummaCPackage
from reset_tuning.scoring.table import EMPTY_OUTPUT, UNDEFINED, Score, is_empty, scored

KINDS = ("abstractive_qa", "summarization")
METRICS = ("summac_zs_entailment", "summac_zs")
IMPLEMENTATIONS = ("package", "fast")
SHORT_ANSWERS = ("undefined", "whole")
FAST_OPTIONS = ("dtype", "runtime")
# What a silent spec means, to the scorer and to the settings that its sidecar is known by.
DEFAULTS = {
    "implementation": IMPLEMENTATIONS[0],
    "granularity": "sentence",
    "splitter": SPLITTERS[0],
    "short_answers": SHORT_ANSWERS[0],
    "dtype": "float32",
    "runtime": "torch",
}
_SENTENCE_PAIRS_PER_CALL = 4096  # what a killed job loses at most, and what memory holds at once

Pair = tuple[str, str]


def score(
    rows: pd.DataFrame, spec: dict[str, Any], means: Means
) -> tuple[dict[str, list[Score]], dict[str, Any]]:
    """Score abstractive answers and summaries; return the scores by metric and the settings.

    An empty output scores 0. The package ignores sentences of ten characters or fewer; a non-empty
    answer of nothing else is undefined (or, with `short_answers: whole`, read as one sentence): the
    package's 0 for it would beat every honest answer with a negative score, and win a best-of-n
    selection.
    """
    scorer = _scorer(spec, means)
    settings = _settings(spec, scorer)
    documents = [document(*parts) for parts in zip(rows["context"], rows["question"], strict=True)]
    pairs = list(zip(documents, rows["output"], strict=True))
    known: dict[Pair, tuple[Score, Score]] = {}
    with means.kept_scores(spec["model"], settings) as sidecar:
        # Each dataset by itself, so that a further one leaves the others' calls as they were.
        for name, of_dataset in pd.Series(pairs).groupby(rows["dataset"].to_numpy()):
            distinct = sorted({pair for pair in of_dataset if not is_empty(pair[1])})
            known |= _score_pairs(scorer, distinct, sidecar, str(name))
    scores: dict[str, list[Score]] = {metric: [] for metric in METRICS}
    for pair in pairs:
        for metric, value in zip(METRICS, known.get(pair, (EMPTY_OUTPUT,) * 2), strict=True):
            scores[metric].append(value)
    return scores, settings | {"documents_cut": _count_cut(scorer, set(documents))}


def document(context: str | None, question: str | None) -> str:
    """Return the text that an answer is compared with: the context, a question put in front.

    A question without an end mark gets one, so that it stays a sentence of its own.

    >>> document("It rains in Bergen.", "where does it rain")
    'where does it rain? It rains in Bergen.'
    """
    if not question or not question.strip():
        return context or ""
    question = question.strip()
    mark = "" if re.search(r"[.?!]$", question) else "?"
    return f"{question}{mark} {context or ''}"


def option(spec: Mapping[str, Any], name: str) -> Any:
    """Return one of DEFAULTS, or what the metric's spec says instead."""
    return spec.get(name, DEFAULTS[name])


def _scorer(spec: dict[str, Any], means: Means) -> SummaCPackage:
    implementation = _one_of(spec, "implementation", IMPLEMENTATIONS)
    options: dict[str, Any] = {
        "model": spec["model"],
        "granularity": option(spec, "granularity"),
        "splitter": sentence_splitter(option(spec, "splitter")),
        "batch_size": means.batch_size,
        "threads": means.threads,
        "keep_short": _one_of(spec, "short_answers", SHORT_ANSWERS) == "whole",
    }
    if implementation == "fast":
        chosen = {key: option(spec, key) for key in FAST_OPTIONS}
        return SummaCFast(batch_tokens=means.batch_tokens, **chosen, **options)
    for key in FAST_OPTIONS:
        if key in spec:
            raise InputError(
                f"a SummaC metric of implementation package takes no {key}: the package decides"
            )
    return SummaCPackage(**options)


def _one_of(spec: dict[str, Any], key: str, allowed: tuple[str, ...]) -> str:
    value = option(spec, key)
    if value not in allowed:
        raise InputError(f"unknown SummaC {key} {value!r}: use one of {', '.join(allowed)}")
    return value


def _score_pairs(
    scorer: SummaCPackage, pairs: list[Pair], sidecar: Sidecar, dataset: str
) -> dict[Pair, tuple[Score, Score]]:
    """Score the distinct (document, answer) pairs of a dataset once each."""
    known: dict[Pair, tuple[Score, Score]] = {}
    scorable = []
    for pair in pairs:
        if scorer.document_parts(pair[0]) and scorer.answer_parts(pair[1]):
            scorable.append(pair)
        else:
            known[pair] = (UNDEFINED, UNDEFINED)
    progress = Progress(f"SummaC on {dataset}", len(scorable))
    for call in _calls(scorer, scorable):
        for pair, values in zip(call, _score_call(scorer, call, sidecar), strict=True):
            known[pair] = (_finite(values[0]), _finite(values[1]))
        progress.add(len(call))
    return known


def _score_call(scorer: SummaCPackage, call: list[Pair], sidecar: Sidecar) -> list[list[float]]:
    """Return the values of one call of the package, from the sidecar if it was made before.

    Whole calls are kept and not pairs: in another batch a pair's last digits may differ, and tables
    must not depend on which of two jobs came first.
    """
    key = digest_of(call)
    values = sidecar.get(key)
    count_known(len(call) if values else 0, len(call))
    if values is None:
        values = [list(pair) for pair in scorer.score(call)]
        sidecar.add([(key, values)])
    return values


def _count_cut(scorer: SummaCPackage, documents: set[str]) -> int:
    """Return how many documents are longer than what the package reads of them, and log it."""
    limit = scorer.max_document_parts
    cut = sum(len(scorer.document_parts(text)) > limit for text in documents)
    if cut:
        message = "SummaC read only the first %d sentences of %d of %d documents"
        logging.warning(message, limit, cut, len(documents))
    return cut


def _calls(scorer: SummaCPackage, pairs: list[Pair]) -> Iterator[list[Pair]]:
    """Cut sorted pairs into calls of whole documents, whose answers share sentences."""
    call: list[Pair] = []
    size = 0
    for text, of_document in groupby(pairs, key=itemgetter(0)):
        if size >= _SENTENCE_PAIRS_PER_CALL:
            yield call
            call, size = [], 0
        answers = list(of_document)
        call += answers
        n_parts = min(len(scorer.document_parts(text)), scorer.max_document_parts)
        size += n_parts * sum(len(scorer.answer_parts(answer)) for _, answer in answers)
    if call:
        yield call


def _finite(value: float) -> Score:
    return scored(value) if math.isfinite(value) else Score(None, "error:not_finite")


def _settings(spec: dict[str, Any], scorer: SummaCPackage) -> dict[str, Any]:
    packages = {name: version(name) for name in ("summac", "transformers", "torch", "nltk")}
    return packages | {
        "model": spec["model"],
        **{name: option(spec, name) for name in DEFAULTS},
        "dtype": scorer.dtype,
        "entailment_index": scorer.entailment_index,
        "contradiction_index": scorer.contradiction_index,
    }
