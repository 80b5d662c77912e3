"""ROUGE-L for abstractive answers and summaries, equal to the rouge-score package."""

import logging
from importlib.metadata import version
from typing import Any

import pandas as pd

from reset_tuning.errors import InputError
from reset_tuning.scoring.means import Means
from reset_tuning.scoring.progress import Progress
from reset_tuning.scoring.rouge_fast import RougeL
from reset_tuning.scoring.table import EMPTY_OUTPUT, UNDEFINED, Score, is_empty, scored

KINDS = ("abstractive_qa", "summarization")
TYPES = ("rougeL", "rougeLsum")
_TESTED_VERSION = "0.1.2"
_COMPARED_ROWS = 20

Item = tuple[str, tuple[str, ...]]


def score(
    rows: pd.DataFrame, spec: dict[str, Any], means: Means
) -> tuple[dict[str, list[Score]], dict[str, Any]]:
    """Score by the F-measure of ROUGE-L against the best of the references.

    Returns the scores by metric and the settings for the metadata. Without a reference the score
    is undefined. The package drops everything but a-z and 0-9 before it compares. `type` rougeLsum
    (lines apart, as many papers on CNN/DailyMail mean it) is left to the package.
    """
    kind, stemmer = spec.get("type", TYPES[0]), bool(spec.get("stemmer", False))
    if kind not in TYPES:
        raise InputError(f"unknown ROUGE type {kind!r}: use one of {', '.join(TYPES)}")
    items = [
        (output, tuple(references))
        for output, references in zip(rows["output"], rows["references"], strict=True)
    ]
    distinct = sorted(set(items))
    measure = _fast(distinct, stemmer) if kind == "rougeL" else _Package(kind, stemmer)
    progress = Progress("ROUGE-L", len(distinct))
    known: dict[Item, Score] = {}
    for item in distinct:
        known[item] = _score_one(measure, *item)
        progress.add()
    settings = {"rouge_score": version("rouge-score"), "type": kind, "stemmer": stemmer}
    return {"rouge_l": [known[item] for item in items]}, settings


class _Package:
    """The package's own scorer with the interface of ours."""

    def __init__(self, kind: str, stemmer: bool) -> None:
        from rouge_score.rouge_scorer import RougeScorer  # it imports all of nltk

        self._kind = kind
        self._scorer = RougeScorer([kind], use_stemmer=stemmer)

    def score_multi(self, references: tuple[str, ...], output: str) -> Any:
        return self._scorer.score_multi(references, output)[self._kind]


def _fast(items: list[Item], stemmer: bool) -> RougeL:
    """Return our scorer.

    Under another version of the package than the one that the tests compare it with, it must first
    have given some of the items exactly the package's scores.
    """
    ours = RougeL(stemmer)
    if version("rouge-score") == _TESTED_VERSION:
        return ours
    theirs = _Package("rougeL", stemmer)
    compared = [item for item in items if item[1]][:: max(1, len(items) // _COMPARED_ROWS)]
    for output, references in compared:
        if ours.score_multi(references, output) != theirs.score_multi(references, output):
            raise RuntimeError(f"ROUGE-L differs from the rouge-score package for {output!r}")
    logging.info("ROUGE-L: %d outputs have exactly the package's scores", len(compared))
    return ours


def _score_one(measure: RougeL | _Package, output: str, references: tuple[str, ...]) -> Score:
    if is_empty(output):
        return EMPTY_OUTPUT
    if not references:
        return UNDEFINED
    return scored(measure.score_multi(references, output).fmeasure)
