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
_LENGTH = "length"  # the finish reason of a reply that was cut off

# Possessive: of "10-12" a part must not be read as "1".
_NUMBER = r"(?P<number>-?\d++(?:\.\d++)?+)"
# 8,5 and 7 1/2 are not 8 and 7; 8,0 is 8.
_MORE = r"(?:,0+(?!\d))?(?P<more>,\d+|[^\S\n]+\d+/\d+|[½¼¾])?"
_RANGE = r"(?:\s*(?:[-–—~]|to|or)\s*(?P<upper>\d+))?"
_OF_TEN = r"(?:\s*(?:/|out\s+of)\s*(?P<total>\d+(?:\.\d+)?))?"
_VALUE = _NUMBER + _MORE + _RANGE + _OF_TEN
# Looked ahead for: where a cut reply's rating ends must not depend on it. Of numbers that may count
# something else as well ("[[8]] of 3 aspects"), those of common scales are totals.
_AFTER = (
    r"(?=(?:[\])*_]*[^\S\n]*(?:(?:stars?|points?)[*_]*[^\S\n]+)?"
    r"\(?(?:/|out\s+of|of)[^\S\n]*(?P<outside>(?:4|5|10|20|100)(?!\.?\d)))?)"
)
_DOUBLE_BRACKETS = re.compile(rf"\[\[\s*{_VALUE}\s*\]\]{_AFTER}")
_RATING = re.compile(
    r"\brating\b[*_]*\s*(?::|is|=)[*_\s]*"
    rf"(?P<opened>[\[(]+)?[*_\s]*{_VALUE}(?(opened)[*_\s]*(?P<closed>[\])])){_AFTER}",
    re.IGNORECASE,
)
_BRACKETS = re.compile(rf"\[\s*{_VALUE}\s*\]{_AFTER}")
_LEFT_OPEN = re.compile(r"\[\[[^\[\]]*$")
_WORD = re.compile(r"[^\W_]")

SCALES: dict[str, Callable[[float], float]] = {
    "minus_one_over_nine": lambda rating: (rating - 1) / 9,
    "rating_over_ten": lambda rating: rating / 10,
}


def parse_rating(reply: str, finish_reason: object = None) -> float | None:
    """Return the rating from 1 to 10 in a reply, or None when it holds none.

    The asked format [[x]] comes first, then "Rating: x", both at their last occurrence, since the
    prompt asks for the explanation before the rating; then [x], if it is the only number in single
    brackets. A rating outside 1 to 10, a range, a decimal comma or fraction, or a rating out of
    something other than 10, is no rating; nor is one that may be cut off: brackets left open, or a
    bare number at the end of a reply with the `finish_reason` length.

    >>> parse_rating("Clear and correct. Rating: [[8.5]]")
    8.5
    >>> parse_rating("[1] cites ref. Rating: 9")
    9.0
    >>> parse_rating("Good.\\n**Rating:** 7/10"), parse_rating("[6]")
    (7.0, 6.0)
    >>> parse_rating("[[11]]"), parse_rating("Rating: 4/5"), parse_rating("See [1] and [2].")
    (None, None, None)
    >>> parse_rating("Rating: [[1"), parse_rating("Rating: 7-8")
    (None, None)
    >>> parse_rating("Rating: 1", "stop"), parse_rating("Rating: 1", "length")
    (1.0, None)
    """
    if _LEFT_OPEN.search(reply):
        return None
    if found := list(_DOUBLE_BRACKETS.finditer(reply)):
        return _valid(found[-1])
    if found := list(_RATING.finditer(reply)):
        last = found[-1]
        may_go_on = not last["closed"] and not _WORD.search(reply, last.end())
        return None if finish_reason == _LENGTH and may_go_on else _valid(last)
    ratings = {_valid(match) for match in _BRACKETS.finditer(reply)}
    return ratings.pop() if len(ratings) == 1 else None


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
    rating = parse_rating(reply, finish)
    return table.UNPARSED if rating is None else scored(scale(rating))


def _valid(match: re.Match[str]) -> float | None:
    rating = float(match["number"])
    totals = [float(total) for total in (match["total"], match["outside"]) if total]
    if match["more"] or match["upper"] or any(total != HIGHEST for total in totals):
        return None
    return rating if LOWEST <= rating <= HIGHEST else None
