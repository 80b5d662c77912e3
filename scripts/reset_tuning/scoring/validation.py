"""Faithfulness metrics beside people: balanced accuracy on public human labels.

The files are read from a folder faithfulness_human as their repositories name them: the SummaC
benchmark, AggreFact, QAGS, SummEdits and SummEval. A threshold turns a score into a label. It is
chosen on a set's validation part and used on its test part; a set without one is cut in two by a
hash of its documents, and each half is labelled with the other's threshold.
"""

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from reset_tuning.errors import InputError
from reset_tuning.files import read_text
from reset_tuning.scoring.means import Means
from reset_tuning.scoring.scorers import MODULES
from reset_tuning.seeds import draw_fraction
from reset_tuning.tables import table_schema, write_table

Row = dict[str, Any]
_CORRECT = ("correct", "['correct']", "")  # as CLIFF and Goyal'21 write that nothing is wrong
_HIGHEST = 5.0  # SummEval's consistency, a mean of three experts, counts as consistent at 5


def tabulate_validation(
    folder: Path,
    table: Path,
    metrics: Mapping[str, Mapping[str, Any]],
    means: Means,
    max_rows: int | None = None,
) -> None:
    """Score every set with every metric and write balanced accuracy and area under the curve.

    `metrics` are entries of the config; `max_rows` keeps a seeded sample of each set.
    """
    labelled = labelled_sample(folder, max_rows)
    found = []
    for name, spec in metrics.items():
        scorer = import_module(MODULES[spec["kind"]])
        scores, settings = scorer.score(labelled, dict(spec), means)
        for metric, values in scores.items():
            scored = labelled.assign(value=[score.value for score in values])
            for dataset, rows in scored.groupby("dataset"):
                found.append(_validation_row(name, metric, str(dataset), rows, settings))
    columns = table_schema("faithfulness_validation").names
    write_table(pd.DataFrame(found, columns=columns), table, "faithfulness_validation")


def read_labelled(folder: Path) -> pd.DataFrame:
    """Return all labelled claims: dataset, cut, context, output, label (True is consistent).

    Raises InputError when the folder holds none of the known files.
    """
    readers: dict[str, Callable[[Path], Iterator[Row]]] = {
        "summac_benchmark/*.jsonl*": _benchmark,
        "aggrefact/*_sota.json*": _aggrefact,
        "aggrefact/*_error_types.csv*": _error_types,
        "qags/*.jsonl*": _qags,
        "summedits/*.json*": _summedits,
        "summeval/*.jsonl*": _summeval,
    }
    rows = [
        row
        for pattern, read in readers.items()
        for path in sorted(folder.glob(pattern))
        for row in read(path)
    ]
    if not rows:
        raise InputError(f"{folder} holds no human labels ({', '.join(readers)})")
    frame = pd.DataFrame(rows)
    return frame.assign(question=None, label=frame["label"].astype(bool))


def balanced_accuracy(labels: np.ndarray, predicted: np.ndarray) -> float:
    """Return the mean of the shares found of both classes; NaN when one class is missing.

    >>> balanced_accuracy(np.array([True, True, False]), np.array([True, False, False]))
    0.75
    """
    if labels.all() or not labels.any():
        return float("nan")
    return float((predicted[labels].mean() + (~predicted[~labels]).mean()) / 2)


def best_threshold(labels: np.ndarray, values: np.ndarray) -> float:
    """Return the lowest score that counts as consistent where balanced accuracy is highest."""
    thresholds = np.unique(values)
    found = [balanced_accuracy(labels, values >= threshold) for threshold in thresholds]
    return float(thresholds[int(np.nanargmax(found))]) if not np.isnan(found).all() else 0.0


def area_under_curve(labels: np.ndarray, values: np.ndarray) -> float:
    """Return the chance that a consistent claim scores above an inconsistent one, ties halved.

    >>> area_under_curve(np.array([True, False, False]), np.array([0.5, 0.5, 0.1]))
    0.75
    """
    if labels.all() or not labels.any():
        return float("nan")
    ranks = pd.Series(values).rank().to_numpy()
    n_true, n_false = labels.sum(), (~labels).sum()
    return float((ranks[labels].sum() - n_true * (n_true + 1) / 2) / (n_true * n_false))


def _validation_row(
    name: str, metric: str, dataset: str, rows: pd.DataFrame, settings: Mapping[str, Any]
) -> Row:
    known = rows[rows["value"].notna()]
    accuracy, threshold = held_out_accuracy(known)
    labels, values = known["label"].to_numpy(), known["value"].to_numpy(dtype=float)
    logging.info("%s on %s: balanced accuracy %.3f of %d", metric, dataset, accuracy, len(known))
    return {
        "scorer": name,
        "metric": metric,
        "model": settings.get("model", ""),
        "dataset": dataset,
        "n": len(known),
        "n_failed": len(rows) - len(known),
        "n_consistent": int(labels.sum()),
        "threshold_from": threshold,
        "balanced_accuracy": accuracy,
        "area_under_curve": area_under_curve(labels, values) if len(known) else float("nan"),
    }


def held_out_accuracy(rows: pd.DataFrame) -> tuple[float, str]:
    """Return the balanced accuracy on rows whose threshold comes from others, and from which."""
    if {"val", "test"} <= set(rows["cut"]):
        parts = [("val", "test")]
        cut, origin = rows["cut"], "validation part"
    else:
        halves = [draw_fraction(0, str(text), "half") < 0.5 for text in rows["context"]]
        cut = pd.Series(halves, index=rows.index).map({True: "a", False: "b"})
        parts, origin = [("a", "b"), ("b", "a")], "other half"
    labels, predicted = [], []
    for source, target in parts:
        chosen, labelled = rows[cut == source], rows[cut == target]
        if chosen.empty or labelled.empty:
            continue
        threshold = best_threshold(chosen["label"].to_numpy(), chosen["value"].to_numpy(float))
        labels.append(labelled["label"].to_numpy())
        predicted.append(labelled["value"].to_numpy(float) >= threshold)
    if not labels:
        return float("nan"), origin
    return balanced_accuracy(np.concatenate(labels), np.concatenate(predicted)), origin


def labelled_sample(folder: Path, max_rows: int | None) -> pd.DataFrame:
    """Return all labelled claims, or a seeded sample of each set's, as many of each part."""
    rows = read_labelled(folder)
    if max_rows is None:
        return rows
    keys = zip(rows["context"], rows["output"], strict=True)
    order = rows.assign(order=[draw_fraction(0, f"{a}\x1f{b}", "validation") for a, b in keys])
    kept = order.sort_values("order").groupby(["dataset", "cut"]).head(max_rows)
    return kept.sort_index().drop(columns="order").reset_index(drop=True)


def _row(dataset: str, cut: str, document: str, claim: str, label: Any) -> Row:
    return {
        "dataset": dataset, "cut": cut, "context": document, "output": claim, "label": label,
    }  # fmt: skip


def _benchmark(path: Path) -> Iterator[Row]:
    name, _, cut = path.name.split(".")[0].rpartition("_")
    for record in _lines(path):
        yield _row(name, cut, record["document"], record["claim"], record["label"] == 1)


def _aggrefact(path: Path) -> Iterator[Row]:
    for record in json.loads(read_text(path)):
        name, label = path.name.split(".")[0], record["label"] == 1
        yield _row(name, record["cut"], record["document"], record["claim"], label)


def _error_types(path: Path) -> Iterator[Row]:
    for record in pd.read_csv(path, dtype=str, keep_default_na=False).to_dict("records"):
        name = f"{record['dataset']} {record['origin']}"
        label = record["error_type"] in _CORRECT
        yield _row(name, record["cut"], record["doc"], record["summ"], label)


def _qags(path: Path) -> Iterator[Row]:
    """A summary is consistent when most annotators say so of each of its sentences."""
    for record in _lines(path):
        sentences = record["summary_sentences"]
        yes = [
            sum(answer["response"] == "yes" for answer in sentence["responses"])
            > len(sentence["responses"]) / 2
            for sentence in sentences
        ]
        claim = " ".join(sentence["sentence"] for sentence in sentences)
        name = path.name.split(".")[0].replace("mturk", "qags")
        yield _row(name, "all", record["article"], claim, all(yes))


def _summedits(path: Path) -> Iterator[Row]:
    for record in json.loads(read_text(path)):
        name, label = path.name.split(".")[0], record["label"] == 1
        yield _row(name, "all", record["doc"], record["summary"], label)


def _summeval(path: Path) -> Iterator[Row]:
    for record in _lines(path):
        label = record["scores"]["consistency"] >= _HIGHEST
        yield _row("summeval", "all", record["src"], record["summary"], label)


def _lines(path: Path) -> Sequence[Mapping[str, Any]]:
    return [json.loads(line) for line in read_text(path).splitlines() if line]
