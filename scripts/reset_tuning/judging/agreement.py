"""How far a judge can be trusted: the parser on real GPT-4 replies, and judges beside people.

The files are public and are read from a folder llm_judge as their repositories name them:
FastChat's gpt-4_single.jsonl (replies with their stored ratings), the reviews of the Vicuna blog
with FairEval's human labels, PandaLM's three annotators, and LLMBar's pairs with a preferred one.
"""

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import pandas as pd

from reset_tuning.errors import InputError
from reset_tuning.files import read_text
from reset_tuning.judging.client import Limits
from reset_tuning.judging.parsing import METRIC, parse_judgments, parse_rating
from reset_tuning.judging.query import Policy, query_judge
from reset_tuning.scoring.failures import kappa
from reset_tuning.tables import read_table, table_schema, write_table

_UNPARSED = -1  # FastChat's rating where it found none
_TIE = "tie"
_HUMAN = {"CHATGPT": "first", "VICUNA13B": "second", "TIE": _TIE}
_PANDALM = {0: _TIE, 1: "first", 2: "second"}


def tabulate_parsing(folder: Path, table: Path) -> None:
    """Compare our ratings with those stored beside real GPT-4 replies, file by file."""
    rows = [
        _parsing_row(path, _records(path))
        for path in _found(folder, "mt_bench/model_judgment/*single.jsonl*")
    ]
    write_table(pd.DataFrame(rows), table, "judge_parsing")


def tabulate_agreement(folder: Path, table: Path) -> None:
    """Write how often GPT-4 and people, and people among themselves, prefer the same answer."""
    rows = [*_reviews_against_people(folder), *_people_against_people(folder)]
    write_table(pd.DataFrame(rows, columns=_agreement_columns()), table, "judge_agreement")


def tabulate_judge(
    folder: Path,
    table: Path,
    judge: str,
    spec: Mapping[str, Any],
    prompt: Mapping[str, str],
    records: Path,
    limits: Limits,
    policy: Policy,
) -> None:
    """Have a judge rate both answers of every LLMBar pair, and compare its choice with people's.

    The replies go to the judge's records, so that they are paid for once.
    """
    rows = []
    for path in _found(folder, "llmbar/*.json"):
        pairs = pd.DataFrame(json.loads(path.read_text()))
        ratings = _rated(pairs, judge, spec, prompt, records, limits, policy)
        preferred = [_preference(first, second) for first, second in ratings]
        wanted = pairs["label"].astype(int).map({1: "first", 2: "second"}).tolist()
        rows.append(_agreement_row(f"llmbar/{path.stem}", judge, "people", preferred, wanted))
    write_table(pd.DataFrame(rows, columns=_agreement_columns()), table, "judge_agreement")


def _parsing_row(path: Path, records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    stored = [None if r["score"] == _UNPARSED else float(r["score"]) for r in records]
    ours = [parse_rating(record["judgment"]) for record in records]
    pairs = list(zip(stored, ours, strict=True))
    return {
        "file": path.name,
        "n": len(records),
        "n_equal": sum(a == b for a, b in pairs),
        "n_other_rating": sum(None not in pair and pair[0] != pair[1] for pair in pairs),
        "n_only_stored": sum(a is not None and b is None for a, b in pairs),
        "n_only_ours": sum(a is None and b is not None for a, b in pairs),
        "n_unparsed": sum(rating is None for rating in ours),
    }


def _reviews_against_people(folder: Path) -> Iterator[dict[str, Any]]:
    """Compare GPT-4's pairwise reviews with the human labels of the same questions."""
    for path in _found(folder, "faireval/review_*_human.jsonl"):
        people = {record["question_id"]: record["human_label"] for record in _records(path)}
        name = path.name.replace("_human", "")
        for reviews in _found(folder, f"vicuna_blog_eval/{name}"):
            scores = {record["question_id"]: record["score"] for record in _records(reviews)}
            asked = sorted(people.keys() & scores.keys())
            judged = [_preference(*map(float, scores[question])) for question in asked]
            wanted = [_HUMAN[people[question]] for question in asked]
            yield _agreement_row(f"vicuna_blog_eval/{path.stem}", "gpt-4", "people", judged, wanted)


def _people_against_people(folder: Path) -> Iterator[dict[str, Any]]:
    """Compare PandaLM's annotators pair by pair: as far as people agree, a judge can."""
    for path in _found(folder, "pandalm/*.json"):
        rows = pd.DataFrame(json.loads(path.read_text()))
        annotators = [name for name in rows if name.startswith("annotator")]
        for first, second in combinations(annotators, 2):
            labels = [rows[name].map(_PANDALM).tolist() for name in (first, second)]
            yield _agreement_row(f"pandalm/{path.stem}", first, second, *labels)


def _agreement_row(
    data: str, first: str, second: str, ours: Sequence[str | None], theirs: Sequence[str]
) -> dict[str, Any]:
    pairs = [pair for pair in zip(ours, theirs, strict=True) if pair[0] is not None]
    decided = [pair for pair in pairs if _TIE not in pair]
    value = kappa([str(a) for a, _ in pairs], [b for _, b in pairs]) if pairs else None
    return {
        "data": data,
        "first": first,
        "second": second,
        "n": len(pairs),
        "n_failed": len(ours) - len(pairs),
        "n_ties": sum(a == _TIE for a, _ in pairs),
        "agreement": _share(pairs),
        "n_decided": len(decided),
        "agreement_decided": _share(decided),
        "kappa": float("nan") if value is None else value,
    }


def _share(pairs: Sequence[tuple[str | None, str]]) -> float:
    return sum(a == b for a, b in pairs) / len(pairs) if pairs else float("nan")


def _preference(first: float, second: float) -> str | None:
    """Return which of two ratings is higher; None when one is missing."""
    if first != first or second != second:
        return None
    return _TIE if first == second else ("first" if first > second else "second")


def _rated(pairs: pd.DataFrame, judge: str, *how: Any) -> list[tuple[float, float]]:
    """Return the ratings in [0, 1] of both answers of each pair, NaN where there is none."""
    spec, prompt, records, limits, policy = how
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_table(_examples(pairs), folder / "examples.parquet", "example")
        write_table(_outputs(pairs), folder / "outputs.parquet", "generation")
        raw, scores = folder / "raw.parquet", folder / "scores.parquet"
        query_judge(
            folder / "outputs.parquet", [folder / "examples.parquet"], raw, judge, spec, prompt,
            records, limits, policy,
        )  # fmt: skip
        parse_judgments(raw, scores, judge, "minus_one_over_nine")
        rows = read_table(scores, "score")
    values = rows[rows["metric"] == METRIC].pivot(
        index="example_id", columns="sample_id", values="value"
    )
    ordered = values.reindex(map(str, range(len(pairs))))
    return list(ordered[[0, 1]].itertuples(index=False, name=None))


def _examples(pairs: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "example_id": [str(number) for number in range(len(pairs))],
            "dataset": "human_labels",
            "kind": "instruction",
            "instruction": pairs["input"],
            "context": None,
            "question": None,
            "references": [[] for _ in range(len(pairs))],
            "source_row": "",
        }
    )


def _outputs(pairs: pd.DataFrame) -> pd.DataFrame:
    frames = [
        pd.DataFrame(
            {
                "run": "human-labels", "seed": 0, "checkpoint": "start", "decoding": "none",
                "example_id": [str(index) for index in range(len(pairs))], "sample_id": number,
                "dataset": "human_labels", "arm": "none", "round": 0, "temperature": 0.0,
                "top_k": 0, "sampling_seed": 0, "multiplicity": 1,
                "output": pairs[f"output_{number + 1}"], "n_tokens": 0, "finish_reason": "stop",
            }
        )
        for number in (0, 1)
    ]  # fmt: skip
    return pd.concat(frames, ignore_index=True)


def _agreement_columns() -> list[str]:
    return table_schema("judge_agreement").names


def _found(folder: Path, pattern: str) -> list[Path]:
    """Return the files of a pattern; raise InputError when there are none."""
    paths = sorted(folder.glob(pattern))
    if not paths:
        raise InputError(f"{folder} holds no file {pattern}: put the public files there")
    return paths


def _records(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in read_text(path).splitlines() if line]
