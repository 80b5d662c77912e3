"""From outputs to a judgment table: what is recorded is reused, the rest is asked once."""

import logging
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from reset_tuning.errors import InputError
from reset_tuning.judging.client import AUTHENTICATION, QUOTA, Limits, ask_all
from reset_tuning.judging.records import Records
from reset_tuning.judging.replies import EMPTY_OUTPUT, JudgeReply
from reset_tuning.judging.requests import JudgeRequest, build_request
from reset_tuning.judging.server import judge_endpoint
from reset_tuning.scoring.outputs import read_outputs
from reset_tuning.scoring.table import KEY_COLUMNS, is_empty
from reset_tuning.tables import write_table

KIND = "instruction"

# The endpoint is there and has read the request, which it will never take.
_OF_THE_REQUEST = ("http_400", "http_413", "http_422")


def query_judge(
    outputs: Path,
    examples: list[Path],
    judgments: Path,
    judge: str,
    spec: Mapping[str, Any],
    prompt: Mapping[str, str],
    records: Path,
    limits: Limits | None = None,
) -> None:
    """Have every output of an instruction judged, and write what the judge said, verbatim.

    Equal (question, answer) pairs are sent once; replies under `records` are never asked for again;
    an empty output is not sent. A request without a reply is a row with an error. Raises InputError
    when the judge's key is missing or rejected, when its account is empty, or when no request got
    a reply.
    """
    rows = read_outputs(outputs, examples)
    rows = rows[rows["kind"] == KIND].reset_index(drop=True)
    requests = [
        None if is_empty(answer) else build_request(spec, prompt, question, answer)
        for question, answer in zip(rows["instruction"], rows["output"], strict=True)
    ]
    replies = _replies(
        {item.key: item for item in requests if item}, judge, spec, records, limits or Limits()
    )
    not_sent = JudgeReply(spec["model"], error=EMPTY_OUTPUT)
    ordered = [replies[item.key] if item else not_sent for item in requests]
    _log_outcome(ordered, judge)
    write_table(_judgment_rows(rows, ordered, judge), judgments, "judgment")


def _replies(
    requests: dict[str, JudgeRequest],
    judge: str,
    spec: Mapping[str, Any],
    directory: Path,
    limits: Limits,
) -> dict[str, JudgeReply]:
    """Return one reply for each distinct request, from the records or from the judge."""
    with Records(directory, judge) as records:
        known = records.load(requests.keys())
        missing = [request for key, request in requests.items() if key not in known]
        logging.info("%s: %d recorded replies, %d to ask for", judge, len(known), len(missing))
        if not missing:
            return known
        with judge_endpoint(spec, judge) as endpoint:
            asked = ask_all(missing, endpoint, limits, records.store)
    _check_answered(asked, judge, spec, is_known=bool(known))
    return known | asked


def _check_answered(
    asked: Mapping[str, JudgeReply], judge: str, spec: Mapping[str, Any], *, is_known: bool
) -> None:
    """Raise InputError when the judge did not answer at all, or its account became empty.

    `is_known` says that it answered other requests of this table before: then requests that it
    rejects for what they hold are rows with an error even when nothing else was asked.
    """
    errors = [reply.error for reply in asked.values() if reply.error]
    unpaid = [error for error in errors if error.startswith(QUOTA)]
    if unpaid:
        advice = "fill up its account"
    elif len(errors) < len(asked) or (is_known and all(map(_is_of_the_request, errors))):
        return
    elif all(error.startswith(AUTHENTICATION) for error in errors):
        variable = spec.get("api_key_variable", "api_key_variable")
        advice = f"the endpoint rejected its key, check {variable}"
    else:
        advice = f"check judges.{judge} and that its endpoint can be reached"
    raise InputError(
        f"the judge {judge} left {len(errors)} of {len(asked)} requests without a reply "
        f"({(unpaid or errors)[0]}): {advice} and start again; replies already received stay in "
        "the records"
    )


def _is_of_the_request(error: str) -> bool:
    return error.split(":")[0] in _OF_THE_REQUEST


def _log_outcome(replies: list[JudgeReply], judge: str) -> None:
    kinds = Counter(reply.error.split(":")[0] for reply in replies if reply.error)
    for kind, count in sorted(kinds.items()):
        logging.warning("%s: %d of %d rows: %s", judge, count, len(replies), kind)


def _judgment_rows(rows: pd.DataFrame, replies: list[JudgeReply], judge: str) -> pd.DataFrame:
    def column(name: str, dtype: str) -> pd.Series:
        values = [getattr(reply, name) for reply in replies]
        return pd.Series(values, index=rows.index, dtype=dtype)

    return rows[KEY_COLUMNS].assign(
        judge=pd.Series([judge] * len(rows), index=rows.index, dtype="str"),
        model=column("model", "str"),
        reply=column("reply", "str"),
        finish_reason=column("finish_reason", "str"),
        error=column("error", "str"),
        prompt_tokens=column("prompt_tokens", "Int64"),
        completion_tokens=column("completion_tokens", "Int64"),
    )
