"""The metrics of the config as scorers: which module computes them, and for which kinds."""

import logging
from importlib import import_module
from pathlib import Path
from typing import Any

from reset_tuning.errors import InputError
from reset_tuning.scoring.means import Means
from reset_tuning.scoring.outputs import read_outputs
from reset_tuning.scoring.table import log_statuses, write_scores

# Each module has KINDS and score(rows, spec, means) -> (scores by metric, settings).
# They are imported when used, so that a lexical job never loads torch.
MODULES = {
    "classifier": "reset_tuning.scoring.classifier",
    "lexical": "reset_tuning.scoring.lexical",
    "rouge": "reset_tuning.scoring.rouge",
    "summac": "reset_tuning.scoring.summac",
}


def score_outputs(
    outputs: Path,
    examples: list[Path],
    scores: Path,
    metric: str,
    spec: dict[str, Any],
    means: Means | None = None,
) -> None:
    """Score the outputs of the kinds that the metric is for, and write the score table.

    `metric` names the scorer in the table, `spec` is what decides its values in the config, and
    `means` are what a metric with a model works with.
    """
    if spec["kind"] not in MODULES:
        allowed = ", ".join(sorted(MODULES))
        raise InputError(f"metrics.{metric}.kind is {spec['kind']!r}, but must be one of {allowed}")
    scorer = import_module(MODULES[spec["kind"]])
    rows = read_outputs(outputs, examples)
    rows = rows[rows["kind"].isin(scorer.KINDS)].reset_index(drop=True)
    logging.info("%s: %d outputs to score", metric, len(rows))
    values, settings = scorer.score(rows, spec, means or Means())
    for name, column in values.items():
        log_statuses(name, column)
    write_scores(scores, rows, values, metric, {"kind": spec["kind"], **settings})
