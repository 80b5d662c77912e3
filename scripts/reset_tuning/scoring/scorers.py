"""The metrics of the config as scorers: which module computes them, and for which kinds."""

import hashlib
import json
import logging
from functools import partial
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from reset_tuning.errors import InputError
from reset_tuning.files import describe_model, sha256_of
from reset_tuning.repeats import make_or_repeat
from reset_tuning.scoring.means import Means
from reset_tuning.scoring.outputs import read_outputs
from reset_tuning.scoring.table import log_statuses, write_scores

_TABLE_FORMAT = "1"  # raise it when the same outputs would get other scores than before

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
    `means` are what a metric with a model works with. Outputs that were scored under another name
    are not scored again.
    """
    if spec["kind"] not in MODULES:
        allowed = ", ".join(sorted(MODULES))
        raise InputError(f"metrics.{metric}.kind is {spec['kind']!r}, but must be one of {allowed}")
    means = means or Means()
    rows = read_outputs(outputs, examples)
    make = partial(_score, rows, scores, metric, spec, means)
    if "model" not in spec or means.sidecar is None or rows.empty:
        make()
        return
    identity = [_TABLE_FORMAT, metric, spec, *describe_model((), spec["model"]), *_versions()]
    identity += [_digest_of(rows), *(sha256_of(path) for path in examples)]
    make_or_repeat(scores, make, identity, _names_of(rows), means.sidecar / "tables")


def _score(
    rows: pd.DataFrame, scores: Path, metric: str, spec: dict[str, Any], means: Means
) -> None:
    scorer = import_module(MODULES[spec["kind"]])
    rows = rows[rows["kind"].isin(scorer.KINDS)].reset_index(drop=True)
    logging.info("%s: %d outputs to score", metric, len(rows))
    values, settings = scorer.score(rows, spec, means)
    for name, column in values.items():
        log_statuses(name, column)
    write_scores(scores, rows, values, metric, {"kind": spec["kind"], **settings})


def _names_of(rows: pd.DataFrame) -> dict[str, Any]:
    """Return what a generation table says of its origin, the same in all rows."""
    first = rows.iloc[0]
    return {"run": first["run"], "seed": int(first["seed"]), "checkpoint": first["checkpoint"]}


def _digest_of(rows: pd.DataFrame) -> str:
    """Return a digest of the outputs, whoever gave them."""
    digest = hashlib.sha256()
    for row in rows[["decoding", "example_id", "sample_id", "output"]].itertuples(index=False):
        digest.update(json.dumps(list(row)).encode())
    return digest.hexdigest()


def _versions() -> list[str]:
    return [f"{name} {version(name)}" for name in ("torch", "transformers", "summac", "nltk")]
