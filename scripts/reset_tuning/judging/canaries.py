"""Canaries: the same few answers rated again in every run, so that a judge that changes is noticed.

Endpoints replace models behind a name, and even one model is noisy at temperature 0. The ratings
are kept below <records>/<judge>/canaries/, apart from the replies that make the tables. They are
no part of any table's cost, but of what the judge may spend.
"""

import json
import logging
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from reset_tuning.journal import Journal
from reset_tuning.judging.client import Limits, ask_all
from reset_tuning.judging.parsing import parse_rating
from reset_tuning.judging.prices import Budget, Usage
from reset_tuning.judging.replies import JudgeReply
from reset_tuning.judging.requests import JudgeRequest, build_request
from reset_tuning.judging.server import Endpoint
from reset_tuning.tables import table_schema, write_table

_FRESH_SECONDS = 12 * 3600.0  # the jobs of one run share one rating

_COLUMNS = ["canary", "time", "model", "fingerprint", "reply", "finish_reason"]

Canary = Mapping[str, str]


def judge_canaries(
    canaries: Sequence[Canary],
    judge: str,
    spec: Mapping[str, Any],
    prompt: Mapping[str, str],
    records: Path,
    endpoint: Endpoint,
    limits: Limits,
    budget: Budget,
) -> None:
    """Have the canaries rated, unless a job has done so in the last hours; a failure is logged.

    They are asked live. The `budget` is told what they cost; those that it refuses are not sent.
    """
    requests = [build_request(spec, prompt, c["question"], c["answer"]) for c in canaries]
    with Journal(_folder(records, judge)) as journal:
        latest = {record["canary"]: record["time"] for record in _read(journal)}
        due = [r for r in requests if time.time() - latest.get(r.key, 0.0) > _FRESH_SECONDS]

        def keep(request: JudgeRequest, reply: JudgeReply) -> None:
            if reply.was_sent:
                journal.append([_record(request, reply)])
                _count(reply.tokens, budget.usage)
            budget.settle(request, reply)

        replies = ask_all(due, endpoint, limits, keep, budget, len(due))
    failed = sum(reply.error is not None for reply in replies.values())
    logging.info("%s: %d canaries judged, %d failed", judge, len(replies), failed)
    for row in drift_rows(judge, _read(Journal(_folder(records, judge)))).itertuples():
        if (change := _change(row)) is not None:
            logging.warning("%s has drifted: canary %s %s", judge, row.canary[:8], change)


def count_usage(judge: str, records: Path, usage: Usage) -> None:
    """Add the tokens of the canaries on record; lines of older versions do not tell theirs."""
    for record in _lines(Journal(_folder(records, judge))):
        _count(record.get("usage", ()), usage)


def _count(tokens: Sequence[int], usage: Usage) -> None:
    if any(tokens):  # a request that got nothing is no reply to take the mean over
        usage.add(*tokens)


def _change(row: Any) -> str | None:
    """Say how a canary's last rating differs from its first, if it does."""
    had, has = not math.isnan(row.first_rating), not math.isnan(row.last_rating)
    is_same = row.first_rating == row.last_rating or not (had or has)
    if is_same and row.first_model == row.last_model:
        return None
    first = f"was rated {row.first_rating}" if had else "was given no rating"
    last = f"is rated {row.last_rating}" if has else "now has no rating"
    return f"{first} by {row.first_model} and {last} by {row.last_model}"


def tabulate_drift(judges: Sequence[str], records: Path, table: Path) -> None:
    """Write metrics/judge_drift.csv from what the records hold of these judges."""
    frames = [drift_rows(judge, _read(Journal(_folder(records, judge)))) for judge in judges]
    empty = pd.DataFrame(columns=table_schema("judge_drift").names)
    write_table(pd.concat([empty, *frames], ignore_index=True), table, "judge_drift")


def drift_rows(judge: str, records: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return one row per canary: its first and last rating, and the models that gave them."""
    frame = pd.DataFrame(records, columns=_COLUMNS)
    rows = []
    for canary, group in frame.sort_values("time").groupby("canary"):
        first, last = group.iloc[0], group.iloc[-1]
        said = zip(group["reply"], group["finish_reason"], strict=True)
        ratings = pd.Series([_rating(*each) for each in said], dtype="float64")
        rows.append(
            {
                "judge": judge,
                "canary": canary,
                "n": len(group),
                "n_unparsed": int(ratings.isna().sum()),
                "first_rating": ratings.iloc[0],
                "last_rating": ratings.iloc[-1],
                "change": ratings.iloc[-1] - ratings.iloc[0],
                "spread": ratings.max() - ratings.min(),
                **{f"first_{name}": first[name] for name in ("model", "fingerprint")},
                **{f"last_{name}": last[name] for name in ("model", "fingerprint")},
            }
        )
    return pd.DataFrame(rows, columns=table_schema("judge_drift").names)


def _rating(reply: Any, finish_reason: Any) -> float:
    rating = parse_rating(reply, finish_reason) if isinstance(reply, str) else None
    return float("nan") if rating is None else rating


def _folder(records: Path, judge: str) -> Path:
    return records / judge / "canaries"


def _record(request: JudgeRequest, reply: JudgeReply) -> dict[str, Any]:
    fields = ("model", "fingerprint", "reply", "finish_reason", "error")
    return {"canary": request.key, "time": time.time(), "usage": reply.tokens} | {
        name: getattr(reply, name) for name in fields
    }


def _read(journal: Journal) -> list[dict[str, Any]]:
    """Return the ratings that came."""
    return [record for record in _lines(journal) if record.get("reply") is not None]


def _lines(journal: Journal) -> Iterator[dict[str, Any]]:
    """Yield what is on record, torn lines aside."""
    for line in journal.lines():
        try:
            yield json.loads(line)
        except ValueError:
            continue
