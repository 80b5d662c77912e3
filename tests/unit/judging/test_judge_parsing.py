import json
import math
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reset_tuning.errors import InputError
from reset_tuning.judging.parsing import parse_judgments, parse_rating
from reset_tuning.tables import read_table, write_table


@pytest.mark.parametrize(
    ("reply", "rating"),
    [
        ("The answer is accurate and detailed. Rating: [[8.5]]", 8.5),
        ("Therefore, I would rate it a [[9]].", 9),
        ("Rating: [[10]]", 10),
        ("Rating: [[ 7 ]]", 7),
        ("Rating: [[8/10]]", 8),
        ("The format is [[5]] but my verdict: [[3]]", 3),
        ("The reply quotes Rating: 10. Rating: [[2]]", 2),
        ("Rating: 9", 9),
        ("Rating: 9.", 9),
        ("rating: 6.5/10", 6.5),
        ("**Rating:** 7", 7),
        ("**Rating**: **7**", 7),
        ("Rating: [6]", 6),
        ("The rating is 4 out of 10.", 4),
        ("Rating: 2 at first sight, in the end Rating: 5", 5),
        ("[1] cites ref. Rating: 9", 9),
        ("Good. [8]", 8),
        ("Rating: (7)", 7),
        ("Rating: 10, on a scale of 1-10", 10),
        ("Rating: 8 points out of 10", 8),
        ("Rating: 8 of 10", 8),
        ("Rating: **8**/10", 8),
        ("Rating: [8]/10", 8),
        ("[[8]]/10", 8),
        ("[[8]] (out of 10)", 8),
        ("[[8]]\nOut of 5 claims, 4 are right.", 8),
        ("Rating: 7\n1/2 of the claims are right.", 7),
        ("Rating: 7, 5 claims are right.", 7),
        ("Rating: 4 stars", 4),
        ("[8]/10", 8),
        ("I'd say [8] out of 10.\nSo: [8]", 8),
        ("[8]: good", 8),
        ("Rating: 8,0", 8),
        ("[[8]] of 3 aspects", 8),
        ("I would give it a [7] for its depth.", 7),
        ("The response deserves [7].", 7),
        ("Clear: [7]\nSo it stands.", 7),
    ],
)
def test_ratings_are_found(reply: str, rating: float) -> None:
    assert parse_rating(reply) == rating


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "No answer was given, so there is nothing to rate.",
        "[[11]]",
        "[[0]]",
        "[[-5]]",
        "[[11]] although Rating: 9 would be kind",
        "Rating: 85",
        "Rating: 85/100",
        "Rating: 4/5",
        "Sources [1] and [2] agree.",
        "[[A]]",
        "Rating: [[",
        "The rating scale has 10 steps",
        "Rating: [[1",
        "As in [[5]]. Rating: [[1",
        "Rating: [[7.",
        "Rating: [7",
        "Rating: 7-8",
        "Rating: 7 – 8.",
        "Rating: 7 to 8",
        "Rating: 10-12",
        "Rating: 1-10: 7",
        "Rating: [[7-8]]",
        "Rating: 4 stars out of 5",
        "[[4]]/5",
        "[[4]] out of 5",
        "[[4]] (of 5)",
        "Rating: 4 of 5",
        "Rating: 4 (out of 5)",
        "Rating: **4**/5",
        "Rating: [4]/5",
        "I rate it [4]/5",
        "Rating: 8,5",
        "Rating: [[8,5]]",
        "Rating: 5 at first, [[8,5]]",
        "Rating: 7 1/2",
        "Rating: 7½",
    ],
)
def test_what_is_no_rating_is_not_guessed(reply: str) -> None:
    assert parse_rating(reply) is None


@pytest.mark.parametrize(
    ("reply", "rating"),
    [
        ("Rating: 1", None),
        ("Rating: **8.", None),
        ("Rating: 4/", None),
        ("Rating: 2 at first. Rating: 1", None),
        ("Rating: 8. It is go", 8),
        ("Rating: [[8]]", 8),
        ("Rating: [6]", 6),
        ("Good. [8]", 8),
        ("Rating: **8**/10", 8),
        ("Rating: 8/10", None),
        ("Rating: 8 points out of 10", 8),
    ],
)
def test_what_a_cut_reply_ends_with_is_no_rating(reply: str, rating: float | None) -> None:
    assert parse_rating(reply, "length") == rating


@given(st.text(), st.integers(2, 20), st.text(st.characters(exclude_characters="[]0123456789")))
def test_the_asked_format_is_found_in_any_text(before: str, halves: int, after: str) -> None:
    assert parse_rating(f"{before}\nRating: [[{halves / 2}]]{after}") == halves / 2


def judgments(path: Path) -> Path:
    rows = [
        ("Rating: [[10]]", "stop", None),
        ("Rating: [[1]]", "length", None),
        ("Rating: 1", "length", None),
        ("I cannot say.", "stop", None),
        (None, "content_filter", None),
        ("Rating: [[5]]", "content_filter", None),
        (None, "stop", None),
        (None, None, "empty_output"),
        (None, None, "rate_limit: Error code: 429"),
        (None, None, "invalid_reply: the reply is not JSON"),
    ]
    frame = pd.DataFrame(rows, columns=["reply", "finish_reason", "error"])
    constants = {"run": "mtl", "seed": 1, "checkpoint": "best", "decoding": "greedy"}
    frame = frame.assign(
        **constants, example_id="e", sample_id=range(len(rows)), judge="gpt-4", model="m",
        prompt_tokens=pd.Series([1] * len(rows), dtype="Int64"), completion_tokens=None,
        request="k", fingerprint=None,
    )  # fmt: skip
    write_table(frame, path, "judgment")
    return path


STATUSES = [
    "ok", "ok", "unparsed", "unparsed", "refused", "refused", "refused", "empty_output",
    "error:rate_limit", "error:invalid_reply",
]  # fmt: skip


@pytest.mark.parametrize(
    ("scale", "best", "worst"), [("minus_one_over_nine", 1.0, 0.0), ("rating_over_ten", 1.0, 0.1)]
)
def test_every_failure_is_a_status_and_never_a_number(
    tmp_path: Path, scale: str, best: float, worst: float
) -> None:
    scores = tmp_path / "scores.parquet"
    parse_judgments(judgments(tmp_path / "raw.parquet"), scores, "gpt-4", scale)
    both = read_table(scores, "score")
    assert both["status"].tolist() == [status for status in STATUSES for _ in range(2)]
    (other,) = {"minus_one_over_nine", "rating_over_ten"} - {scale}
    assert set(both["metric"]) == {"instruction_following", f"instruction_following_{other}"}
    frame = both[both["metric"] == "instruction_following"].reset_index(drop=True)
    assert frame["status"].tolist() == STATUSES
    assert frame["value"].tolist()[:2] == [best, worst]
    assert frame["value"][7] == 0.0
    assert [math.isnan(value) for value in frame["value"]] == [
        status not in ("ok", "empty_output") for status in STATUSES
    ]
    assert set(both["scorer"]) == {"gpt-4"}


def test_too_many_failures_stop_the_run(tmp_path: Path) -> None:
    raw = judgments(tmp_path / "raw.parquet")
    with pytest.raises(InputError, match=r"70\.0% .*judges\.gpt-4\.max_failure_share"):
        parse_judgments(raw, tmp_path / "s.parquet", "gpt-4", "rating_over_ten", 0.5)
    assert not (tmp_path / "s.parquet").exists()
    parse_judgments(raw, tmp_path / "s.parquet", "gpt-4", "rating_over_ten", 0.75)
    metadata = json.loads(pq.read_schema(tmp_path / "s.parquet").metadata[b"scorer"])
    assert metadata["failure_share"] == pytest.approx(7 / 10, abs=1e-6)


def test_an_unknown_scale_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="minus_one_over_nine, rating_over_ten"):
        parse_judgments(judgments(tmp_path / "raw.parquet"), tmp_path / "x", "gpt-4", "percent")
