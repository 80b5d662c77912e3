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
from reset_tuning.scoring.table import EMPTY_OUTPUT, Score

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
    """Score extractive answers; return the scores by metric and the settings for the metadata.

    An answer of which the normalisation leaves nothing ("The", "...") is an empty output: 0 in
    every metric, also where a reference comes to nothing too.
    """
    unicode = spec.get("unicode", False)
    scores: dict[str, list[Score]] = {name: [] for name in ("exact_match", *_COVERAGES)}
    for output, text, references in zip(
        rows["output"], rows["context"], rows["references"], strict=True
    ):
        found = _score_one(output, text or "", references, unicode)
        for name, value in found.items():
            scores[name].append(value)
    order = "join -, / and 's; articles; punctuation; lower-case"
    return scores, {"normalisation": order, "unicode": unicode, "n": "1, 2"}


def _score_one(output: str, text: str, references: list[str], unicode: bool) -> dict[str, Score]:
    answer = normalise(output, unicode)
    if not answer:
        return dict.fromkeys(("exact_match", *_COVERAGES), EMPTY_OUTPUT)
    context = read_context(text, unicode)
    scores = {name: coverage(answer, context) for name, coverage in _COVERAGES.items()}
    return scores | {"exact_match": exact_match(answer, references, unicode)}
