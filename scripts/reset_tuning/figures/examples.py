"""The example browser: some examples of every test set with all systems' answers side by side."""

import html
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any

import pandas as pd

from reset_tuning.data.prompts import prompt_parts
from reset_tuning.figures.pages import fits_report, page, template
from reset_tuning.sampling.backend import STOP
from reset_tuning.seeds import draw_fraction
from reset_tuning.stats.averages import INSTRUCTION_METRIC, Headlines
from reset_tuning.tables import read_table

_POINT = ["run", "seed", "checkpoint"]
_MISSING = "missing"  # in place of why an answer ended: there is no row at all


def browser_page(
    examples: Sequence[Path],
    generations: Sequence[Path],
    scores: Sequence[Path],
    judgments: Sequence[Path],
    systems: Sequence[Mapping[str, Any]],
    headlines: Headlines,
    seen: Iterable[str],
    per_set: int,
    template: Mapping[str, str],
    tasks: Mapping[str, str],
) -> str:
    """Return the page of at most `per_set` examples of each test set, drawn by their ids.

    `systems` are {label, main, run, seed, checkpoint} in the order in which their answers stand.
    Of the scores those behind the tables' columns are shown, with the reason where there is none.
    There are fewer examples where the report could not show a page of all.
    """
    drawn = pd.concat([_drawn(path) for path in examples], ignore_index=True)
    drawn = drawn[drawn["place"] < per_set]
    answers = _answers(generations, set(drawn["example_id"]))
    shown = _shown_scores(scores, headlines, drawn)
    said = _judge_texts(judgments, headlines.judge)
    rows = [
        _example(row, systems, answers, shown, said, template, tasks)
        for row in drawn.to_dict("records")
    ]
    kinds = dict(zip(drawn["dataset"], drawn["kind"], strict=True))
    roles = {name: "seen" if name in set(seen) else "unseen" for name in kinds}
    datasets = {
        name: {"kind": kind.replace("_", " "), "role": roles[name]} for name, kind in kinds.items()
    }
    places = list(drawn["place"])
    while True:
        here = [row for row, place in zip(rows, places, strict=True) if place < per_set]
        text = _page(systems, datasets, here, per_set)
        if fits_report(text) or per_set == 1:
            return text
        per_set = max(1, per_set * 9 // 10)


def _page(
    systems: Sequence[Mapping[str, Any]],
    datasets: Mapping[str, Mapping[str, str]],
    rows: Sequence[Mapping[str, Any]],
    per_set: int,
) -> str:
    names = [{"label": item["label"], "main": item["main"]} for item in systems]
    data = {"systems": names, "datasets": datasets, "examples": rows}
    body = _body(systems, datasets, per_set)
    return page("Examples and answers", body, "browser.css", "browser.js", data)


def _drawn(path: Path) -> pd.DataFrame:
    """Return a test set in the order of its draw, each row's place from 0 beside it."""
    rows = read_table(path, "example")
    order = [draw_fraction(0, example_id, "browser") for example_id in rows["example_id"]]
    rows = rows.assign(order=order).sort_values("order").drop(columns="order")
    return rows.assign(place=range(len(rows)))


def _answers(paths: Sequence[Path], examples: set[str]) -> dict[tuple, tuple[str, str]]:
    """Return (run, seed, checkpoint, example_id) → answer and why it ended."""
    columns = [*_POINT, "example_id", "output", "finish_reason"]
    frames = [read_table(path, "generation")[columns] for path in paths]
    rows = pd.concat(frames, ignore_index=True)
    rows = rows[rows["example_id"].isin(examples)]
    return {tuple(row[:-2]): row[-2:] for row in rows.itertuples(index=False, name=None)}


def _shown_scores(
    paths: Sequence[Path], headlines: Headlines, drawn: pd.DataFrame
) -> dict[tuple, dict[str, float | str]]:
    """Return (run, seed, checkpoint, example_id) → name of the column → value or what failed."""
    kinds = dict(zip(drawn["example_id"], drawn["kind"], strict=True))
    shown: dict[tuple, dict[str, float | str]] = {}
    columns = [*_POINT, "example_id", "metric", "scorer", "value", "status"]
    for path in sorted(paths):
        rows = read_table(path, "score")[columns]
        rows = rows[rows["example_id"].isin(kinds)]
        for *key, metric, scorer, value, status in rows.itertuples(index=False, name=None):
            name = _column(headlines, kinds[key[-1]], metric, scorer)
            if name:
                value = round(value, 3) if status in ("ok", "empty_output") else status
                shown.setdefault(tuple(key), {})[name] = value
    return shown


def _column(headlines: Headlines, kind: str, metric: str, scorer: str) -> str | None:
    """Return the column of the tables that a metric of a kind stands for, if any."""
    if metric == INSTRUCTION_METRIC:
        return "instruction following" if scorer == headlines.judge else None
    for name in ("faithfulness", "task"):
        if getattr(headlines, name).get(kind) == metric:
            return f"{name} ({metric.replace('_', ' ')})"
    return None


def _judge_texts(paths: Sequence[Path], judge: str) -> dict[tuple, str]:
    columns = [*_POINT, "example_id", "judge", "reply"]
    said = {}
    for path in paths:
        rows = read_table(path, "judgment")[columns]
        for *key, name, reply in rows.itertuples(index=False, name=None):
            if name == judge and isinstance(reply, str):
                said[tuple(key)] = reply
    return said


def _example(
    row: Mapping[str, Any],
    systems: Sequence[Mapping[str, Any]],
    answers: Mapping[tuple, tuple[str, str]],
    shown: Mapping[tuple, Mapping[str, float | str]],
    said: Mapping[tuple, str],
    template: Mapping[str, str],
    tasks: Mapping[str, str],
) -> dict[str, Any]:
    """Return one example as the page's script reads it; equal answers stand in it once."""
    keys = [(*(system[name] for name in _POINT), row["example_id"]) for system in systems]
    given = [answers.get(key, ("", _MISSING)) for key in keys]
    texts = list(dict.fromkeys(text for text, _ in given))
    return {
        "id": row["example_id"],
        "dataset": row["dataset"],
        "question": _question(row, tasks),
        "prompt": prompt_parts(row, template, tasks.get(row["dataset"])).text,
        "references": list(row["references"]),
        "texts": texts,
        "answers": [
            {"text": texts.index(text), "scores": dict(shown.get(key, {}))}
            | ({"ended": reason} if reason != STOP else {})
            | ({"judge": said[key]} if key in said else {})
            for key, (text, reason) in zip(keys, given, strict=True)
        ],
    }


def _question(row: Mapping[str, Any], tasks: Mapping[str, str]) -> str:
    """Return what is asked: the question, the instruction, or the task of a document."""
    asked = (row["question"], row["instruction"], tasks.get(row["dataset"]))
    return next(text for text in asked if isinstance(text, str) and text)


def _body(systems: Sequence[Mapping[str, Any]], datasets: Mapping[str, Any], per_set: int) -> str:
    boxes = "".join(
        f'<label><input type="checkbox" value="{place}"{" checked" if item["main"] else ""}> '
        f"{html.escape(item['label'])}</label>"
        for place, item in enumerate(systems)
    )
    seeds = dict.fromkeys(str(item["seed"]) for item in systems if item["seed"])
    return Template(template("browser.html")).substitute(
        per_set=per_set,
        seeds=", ".join(seeds) or "0",
        options="".join(f"<option>{html.escape(name)}</option>" for name in datasets),
        boxes=boxes,
    )
