"""The lexical scorer of extractive question answering: coverage and exact match."""

from typing import Any

import pandas as pd

from reset_tuning.scoring.coverage import (
    bigram_coverage,
    exact_match,
    read_context,
    span_coverage,
    span_coverage_tokens,
    unigram_coverage,
)
from reset_tuning.scoring.means import Means
from reset_tuning.scoring.normalise import normalise
from reset_tuning.scoring.table import EMPTY_OUTPUT, Score, is_empty

KINDS = ("extractive_qa",)
_COVERAGES = {
    "span_coverage": span_coverage,
    "span_coverage_tokens": span_coverage_tokens,
    "unigram_coverage": unigram_coverage,
    "bigram_coverage": bigram_coverage,
}


def score(
    rows: pd.DataFrame, spec: dict[str, Any], means: Means
) -> tuple[dict[str, list[Score]], dict[str, Any]]:
    """Score extractive answers; return the scores by metric and the settings for the metadata."""
    scores: dict[str, list[Score]] = {name: [] for name in ("exact_match", *_COVERAGES)}
    for output, text, references in zip(
        rows["output"], rows["context"], rows["references"], strict=True
    ):
        for name, value in _score_one(output, text or "", references).items():
            scores[name].append(value)
    settings = {"normalisation": "join -, / and 's; articles; punctuation; lower-case", "n": "1, 2"}
    return scores, settings


def _score_one(output: str, text: str, references: list[str]) -> dict[str, Score]:
    if is_empty(output):
        return dict.fromkeys(("exact_match", *_COVERAGES), EMPTY_OUTPUT)
    answer, context = normalise(output), read_context(text)
    scores = {name: coverage(answer, context) for name, coverage in _COVERAGES.items()}
    return scores | {"exact_match": exact_match(answer, references)}
