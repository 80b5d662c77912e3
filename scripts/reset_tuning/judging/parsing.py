"""From a judge's reply to a score as in the paper, apart from the paid query."""

import re
from collections.abc import Callable
from pathlib import Path

from reset_tuning.errors import InputError
from reset_tuning.judging.replies import CONTENT_FILTER, EMPTY_OUTPUT
from reset_tuning.scoring import table
from reset_tuning.scoring.table import Score, scored, write_scores
from reset_tuning.tables import read_table

METRIC = "instruction_following"
LOWEST, HIGHEST = 1.0, 10.0

_NUMBER = r"(-?\d+(?:\.\d+)?)"
_OF_TEN = r"(?:\s*(?:/|out\s+of)\s*(\d+(?:\.\d+)?))?"
_DOUBLE_BRACKETS = re.compile(rf"\[\[\s*{_NUMBER}{_OF_TEN}\s*\]\]")
_RATING = re.compile(rf"\brating\b[*_]*\s*(?::|is|=)[*_\s\[(]*{_NUMBER}{_OF_TEN}", re.IGNORECASE)
_BRACKETS = re.compile(rf"\[\s*{_NUMBER}{_OF_TEN}\s*\]")

SCALES: dict[str, Callable[[float], float]] = {
    "minus_one_over_nine": lambda rating: (rating - 1) / 9,
    "rating_over_ten": lambda rating: rating / 10,
}


def parse_rating(reply: str) -> float | None:
    """Return the rating from 1 to 10 in a reply, or None when it holds none.

    The asked format [[x]] comes first, then "Rating: x", both at their last occurrence, since the
    prompt asks for the explanation before the rating; then [x], if it is the only number in single
    brackets. A rating outside 1 to 10, or out of something other than 10, is no rating.

    >>> parse_rating("Clear and correct. Rating: [[8.5]]")
    8.5
    >>> parse_rating("[1] cites ref. Rating: 9")
    9.0
    >>> parse_rating("Good.\\n**Rating:** 7/10"), parse_rating("[6]")
    (7.0, 6.0)
    >>> parse_rating("[[11]]"), parse_rating("Rating: 4/5"), parse_rating("See [1] and [2].")
    (None, None, None)
    """
    for pattern in (_DOUBLE_BRACKETS, _RATING):
        found = pattern.findall(reply)
        if found:
            return _valid(*found[-1])
    found = set(_BRACKETS.findall(reply))
    return _valid(*found.pop()) if len(found) == 1 else None


def parse_judgments(
    judgments: Path, scores: Path, judge: str, scale: str, max_failure_share: float = 1.0
) -> None:
    """Read a judgment table and write the judge's score table.

    `scale` maps a rating to [0, 1]: minus_one_over_nine is (x - 1) / 9, rating_over_ten is x / 10.
    It makes the metric `instruction_following`; the other one stands beside it under its name.
    Raises InputError when more than `max_failure_share` of the answers have no rating.
    """
    if scale not in SCALES:
        allowed = ", ".join(sorted(SCALES))
        raise InputError(f"judges.{judge}.scale is {scale!r}, but must be one of {allowed}")
    rows = read_table(judgments, "judgment")
    said = rows[["reply", "finish_reason", "error"]].astype(object)
    values = {
        METRIC if name == scale else f"{METRIC}_{name}": [
            _score(*row, function) for row in said.itertuples(index=False)
        ]
        for name, function in SCALES.items()
    }
    table.log_statuses(METRIC, values[METRIC])
    share = _failure_share(values[METRIC])
    if share > max_failure_share:
        raise InputError(
            f"{share:.1%} of the answers in {judgments} have no rating of {judge}, more than "
            f"judges.{judge}.max_failure_share allows ({max_failure_share:.1%}): read its replies "
            "there, then take a judge that keeps to the format or raise the share"
        )
    settings = {"kind": "judge", "scale": scale, "failure_share": round(share, 6)}
    write_scores(scores, rows, values, judge, settings)


def _failure_share(values: list[Score]) -> float:
    failed = sum(score.status not in table.SCORED_STATUSES for score in values)
    return failed / max(len(values), 1)


def _score(reply: object, finish: object, error: object, scale: Callable[[float], float]) -> Score:
    """Return the score of one judgment; every failure is a status and never a number."""
    if isinstance(error, str):
        kind = error.split(":")[0]
        return table.EMPTY_OUTPUT if kind == EMPTY_OUTPUT else Score(None, f"error:{kind}")
    if not isinstance(reply, str) or finish == CONTENT_FILTER:
        return table.REFUSED
    rating = parse_rating(reply)
    return table.UNPARSED if rating is None else scored(scale(rating))


def _valid(number: str, total: str) -> float | None:
    rating = float(number)
    if total and float(total) != HIGHEST:
        return None
    return rating if LOWEST <= rating <= HIGHEST else None
