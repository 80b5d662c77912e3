"""What SummaC's options do to its scores, on public human labels: each changed by itself.

The paper names neither the NLI model nor the granularity, whether contradiction counts, the
splitter, or what becomes of answers too short for the package. Each row of the table changes one of
them; whether contradiction counts is the difference between the two metrics.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from reset_tuning.errors import InputError
from reset_tuning.scoring import summac
from reset_tuning.scoring.means import Means
from reset_tuning.scoring.sentences import SPLITTERS
from reset_tuning.scoring.validation import (
    area_under_curve,
    held_out_accuracy,
    labelled_sample,
)
from reset_tuning.tables import table_schema, write_table

CONFIGURED = "as configured"
OPTIONS: Mapping[str, Sequence[str]] = {
    "granularity": ("sentence", "paragraph", "document"),
    "splitter": SPLITTERS,
    "short_answers": summac.SHORT_ANSWERS,
    "implementation": summac.IMPLEMENTATIONS,
}


def tabulate_options(
    folder: Path,
    table: Path,
    spec: Mapping[str, Any],
    models: Sequence[str],
    means: Means,
    max_rows: int | None = None,
) -> None:
    """Score the labelled claims once for each changed option, and write what it changed.

    `spec` is a metric of kind summac, `models` are further NLI models to try in its place. An
    option that this machine cannot try (nltk's data, a model) is a row that says why.
    """
    claims = labelled_sample(folder, max_rows)
    rows: list[dict[str, Any]] = []
    usual: dict[str, np.ndarray] = {}
    for option, value, changed in variants(spec, models):
        logging.info("SummaC: %s %s", option, value)
        try:
            scores, settings = summac.score(claims, changed, means)
        except InputError as error:
            if option == CONFIGURED:
                raise
            rows += [_untried(metric, option, value, str(error)) for metric in summac.METRICS]
            continue
        for metric, found in scores.items():
            values = np.array([np.nan if one.value is None else one.value for one in found])
            usual.setdefault(metric, values)
            row = _row(claims.assign(value=values), usual[metric])
            named = {"metric": metric, "option": option, "value": value, "state": "ok"}
            rows.append(named | {"model": settings["model"]} | row)
    frame = pd.DataFrame(rows, columns=table_schema("summac_options").names)
    write_table(frame, table, "summac_options")


def variants(
    spec: Mapping[str, Any], models: Sequence[str] = ()
) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield (option, value, spec): the spec as it is, then with one option changed at a time."""
    yield CONFIGURED, "", dict(spec)
    for option, values in OPTIONS.items():
        usual = summac.option(spec, option)
        for value in values:
            if value != usual:
                changed = {**spec, option: value}
                if value == "package":
                    changed = {
                        key: changed[key] for key in changed if key not in summac.FAST_OPTIONS
                    }
                yield option, value, changed
    for model in models:
        if model != spec["model"]:
            yield "model", model, {**spec, "model": model}


def _row(claims: pd.DataFrame, usual: np.ndarray) -> dict[str, Any]:
    """Return what one variant's scores say, beside those of the spec as it is."""
    known = claims[claims["value"].notna()]
    both = claims["value"].notna().to_numpy() & ~np.isnan(usual)
    change = np.abs(claims["value"].to_numpy()[both] - usual[both])
    sets = [rows for _, rows in known.groupby("dataset")]
    accuracies = [held_out_accuracy(rows)[0] for rows in sets]
    areas = [area_under_curve(rows["label"].to_numpy(), rows["value"].to_numpy()) for rows in sets]
    return {
        "n": len(known),
        "n_without_score": len(claims) - len(known),
        "mean": _mean(known["value"]),
        "mean_change": _mean(change),
        "largest_change": float(change.max()) if len(change) else None,
        "balanced_accuracy": _mean(accuracies),
        "area_under_curve": _mean(areas),
    }


def _mean(values: Any) -> float | None:
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else None


def _untried(metric: str, option: str, value: str, reason: str) -> dict[str, Any]:
    logging.warning("SummaC: %s %s was not tried: %s", option, value, reason)
    return {
        "metric": metric, "option": option, "value": value, "model": "", "n": 0,
        "n_without_score": 0, "state": f"not tried: {reason}",
    }  # fmt: skip
