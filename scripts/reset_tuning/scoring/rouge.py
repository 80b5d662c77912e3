"""ROUGE-L of the rouge-score package for abstractive answers and summaries."""

from importlib.metadata import version
from typing import Any

import pandas as pd
from rouge_score.rouge_scorer import RougeScorer

from reset_tuning.scoring.means import Means
from reset_tuning.scoring.progress import Progress
from reset_tuning.scoring.table import EMPTY_OUTPUT, UNDEFINED, Score, is_empty, scored

KINDS = ("abstractive_qa", "summarization")


def score(
    rows: pd.DataFrame, spec: dict[str, Any], means: Means
) -> tuple[dict[str, list[Score]], dict[str, Any]]:
    """Score by the F-measure of ROUGE-L against the best of the references.

    Returns the scores by metric and the settings for the metadata. Without a reference the score
    is undefined. The package drops everything but a-z and 0-9 before it compares.
    """
    stemmer = bool(spec.get("stemmer", False))
    scorer = RougeScorer(["rougeL"], use_stemmer=stemmer)
    progress = Progress("ROUGE-L", len(rows))
    known: dict[tuple[str, tuple[str, ...]], Score] = {}
    scores = []
    for output, references in zip(rows["output"], rows["references"], strict=True):
        key = (output, tuple(references))
        if key not in known:
            known[key] = _score_one(scorer, output, references)
        scores.append(known[key])
        progress.add()
    settings = {"rouge_score": version("rouge-score"), "type": "rougeL", "stemmer": stemmer}
    return {"rouge_l": scores}, settings


def _score_one(scorer: RougeScorer, output: str, references: list[str]) -> Score:
    if is_empty(output):
        return EMPTY_OUTPUT
    if not references:
        return UNDEFINED
    return scored(scorer.score_multi(references, output)["rougeL"].fmeasure)
