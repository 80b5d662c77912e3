import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from scripted import PROMPT, Answer, Endpoint, completion, scripted_endpoint

from reset_tuning.errors import InputError
from reset_tuning.judging.client import Limits
from reset_tuning.judging.parsing import parse_judgments
from reset_tuning.judging.query import query_judge
from reset_tuning.judging.requests import build_request
from reset_tuning.judging.server import endpoint_name
from reset_tuning.tables import read_table

Write = Callable[..., tuple[Path, list[Path]]]
RATING_PROMPT = Path(__file__).parents[3] / "resources" / "prompts" / "judge_rating.yaml"

SYSTEM_OF_THE_PAPER = (
    "Please act as an impartial judge and evaluate the quality of the response provided by an AI "
    "assistant to the user question displayed below. Your evaluation should consider factors such "
    "as the helpfulness, relevance, accuracy, depth, creativity, and level of detail of the "
    "response. Begin your evaluation by providing a short explanation (strictly 1-2 short "
    "sentences). Be as objective as possible. After providing your explanation, please rate the "
    'response on a scale of 1 to 10 by strictly following this format: "[[rating]]", for example: '
    '"Rating: [[5]]".'
)
USER_OF_THE_PAPER = (
    "[Question]\nWhy {x}?\n\n[The Start of Assistant's Answer]\nAnswer: So {question}.\n"
    "[The End of Assistant's Answer]"
)


def query(files: tuple[Path, list[Path]], spec: dict[str, Any], records: Path) -> Any:
    target = records.parent / "raw.parquet"
    query_judge(*files, target, "gpt-4", spec, PROMPT, records, Limits(concurrency=1))
    return read_table(target, "judgment")


def test_the_prompt_is_the_papers_word_for_word() -> None:
    prompt = yaml.safe_load(RATING_PROMPT.read_text())
    request = build_request({"model": "m"}, prompt, "Why {x}?", "So {question}.")
    assert request.system == SYSTEM_OF_THE_PAPER
    assert request.user == USER_OF_THE_PAPER
    assert (request.temperature, request.max_tokens) == (0.0, 512)


def test_a_prompt_with_other_fields_is_refused() -> None:
    with pytest.raises(InputError, match="literal braces twice"):
        build_request({"model": "m"}, {"system": "", "user": "{question} {reference}"}, "q", "a")


def test_equal_questions_and_answers_are_sent_once(
    write_outputs: Write, spec: dict[str, Any], endpoint: Endpoint, tmp_path: Path
) -> None:
    files = write_outputs([("q", "a"), ("q", "a"), ("q", "b"), ("r", "a")])
    frame = query(files, spec, tmp_path / "records")
    assert frame["reply"].tolist() == ["Fine. Rating: [[7]]"] * 4
    sent = [body["messages"][1]["content"] for body in endpoint.bodies]
    assert sorted(sent) == [
        f"[Question]\n{q}\nAnswer: {a}" for q, a in [("q", "a"), ("q", "b"), ("r", "a")]
    ]


def test_a_reply_is_never_paid_for_twice(
    write_outputs: Write, spec: dict[str, Any], endpoint: Endpoint, tmp_path: Path
) -> None:
    first = query(write_outputs([("q", "a"), ("q", "b")]), spec, tmp_path / "records")
    again = query(write_outputs([("q", "a"), ("q", "b")]), spec, tmp_path / "records")
    assert len(endpoint.bodies) == 2
    assert again.equals(first)
    query(write_outputs([("q", "a"), ("q", "c")]), spec, tmp_path / "records")
    assert len(endpoint.bodies) == 3
    query(write_outputs([("q", "a")]), spec | {"temperature": 1}, tmp_path / "records")
    assert len(endpoint.bodies) == 4


def test_recorded_replies_need_no_key(
    write_outputs: Write, spec: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec["api_key_variable"] = "JUDGE_TEST_KEY"
    monkeypatch.setenv("JUDGE_TEST_KEY", "sk-1")
    query(write_outputs([("q", "a")]), spec, tmp_path / "records")
    monkeypatch.delenv("JUDGE_TEST_KEY")
    assert query(write_outputs([("q", "a")]), spec, tmp_path / "records")["error"].isna().all()
    with pytest.raises(InputError, match="JUDGE_TEST_KEY"):
        query(write_outputs([("q", "z")]), spec, tmp_path / "records")


def test_failures_are_rows_and_are_asked_again_next_time(
    write_outputs: Write, spec: dict[str, Any], endpoint: Endpoint, tmp_path: Path
) -> None:
    files = write_outputs([("q", "a"), ("q", "b"), ("q", "c")])
    endpoint.script = [Answer(), Answer(400, '{"error": {"message": "no"}}')]
    endpoint.default = Answer(body=completion(None, "content_filter"))
    frame = query(files, spec, tmp_path / "records")
    assert frame["error"].isna().tolist() == [True, False, True]
    parse_judgments(tmp_path / "raw.parquet", tmp_path / "s.parquet", "gpt-4", "rating_over_ten")
    scores = read_table(tmp_path / "s.parquet", "score")
    scores = scores[scores["metric"] == "instruction_following"]
    assert scores["status"].tolist() == ["ok", "error:http_400", "refused"]
    query(files, spec, tmp_path / "records")
    assert len(endpoint.bodies) == 4


def test_an_empty_output_is_scored_0_and_not_sent(
    write_outputs: Write, spec: dict[str, Any], endpoint: Endpoint, tmp_path: Path
) -> None:
    query(write_outputs([("q", ""), ("q", " \n"), ("q", "a")]), spec, tmp_path / "records")
    assert len(endpoint.bodies) == 1
    parse_judgments(tmp_path / "raw.parquet", tmp_path / "s.parquet", "gpt-4", "rating_over_ten")
    scores = read_table(tmp_path / "s.parquet", "score")
    scores = scores[scores["metric"] == "instruction_following"]
    assert scores["status"].tolist() == ["empty_output", "empty_output", "ok"]
    assert scores["value"].tolist() == [0.0, 0.0, 0.7]


def test_only_instructions_are_judged(
    write_outputs: Write, spec: dict[str, Any], endpoint: Endpoint, tmp_path: Path
) -> None:
    files = write_outputs([("q", "a")], kind="summarization")
    assert len(query(files, spec, tmp_path / "records")) == 0
    assert endpoint.bodies == []
    parse_judgments(tmp_path / "raw.parquet", tmp_path / "s.parquet", "gpt-4", "rating_over_ten")
    assert len(read_table(tmp_path / "s.parquet", "score")) == 0


@pytest.mark.parametrize("status", [401, 403])
def test_a_rejected_key_ends_the_job_in_one_sentence(
    write_outputs: Write, spec: dict[str, Any], endpoint: Endpoint, tmp_path: Path, status: int
) -> None:
    endpoint.default = Answer(status, '{"error": {"message": "Incorrect API key"}}')
    with pytest.raises(InputError, match="rejected its key") as caught:
        query(write_outputs([("q", str(i)) for i in range(9)]), spec, tmp_path / "records")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "raw.parquet").exists()


def test_a_judge_that_never_answers_ends_the_job_in_one_sentence(
    write_outputs: Write, spec: dict[str, Any], endpoint: Endpoint, tmp_path: Path
) -> None:
    endpoint.default = Answer(404, '{"error": {"message": "no such page"}}')
    files = write_outputs([("q", str(i)) for i in range(3)])
    sentence = r"the judge gpt-4 left 3 of 3 requests .*http_404.*no such page.*stay in the records"
    with pytest.raises(InputError, match=sentence) as caught:
        query(files, spec, tmp_path / "records")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "raw.parquet").exists()


def test_an_empty_account_ends_the_job_and_keeps_what_was_answered(
    write_outputs: Write, spec: dict[str, Any], endpoint: Endpoint, tmp_path: Path
) -> None:
    files = write_outputs([("q", str(i)) for i in range(4)])
    broke = '{"error": {"message": "no credit", "code": "insufficient_quota"}}'
    endpoint.script = [Answer(), Answer(429, broke)]
    with pytest.raises(InputError, match=r"3 of 4 requests .*insufficient_quota: .*no credit"):
        query(files, spec, tmp_path / "records")
    assert not (tmp_path / "raw.parquet").exists()
    assert query(files, spec, tmp_path / "records")["error"].isna().all()
    assert len(endpoint.bodies) == 2 + 3


def test_one_request_that_is_never_taken_does_not_hold_up_the_others(
    write_outputs: Write, spec: dict[str, Any], endpoint: Endpoint, tmp_path: Path
) -> None:
    refusal = Answer(400, '{"error": {"message": "too long"}}')
    files = write_outputs([("q", "a"), ("q", "b")])
    endpoint.script = [Answer(), refusal, refusal]
    for _ in range(2):
        assert query(files, spec, tmp_path / "records")["error"].isna().tolist() == [True, False]
    assert len(endpoint.bodies) == 3


def test_another_endpoint_is_asked_itself(
    write_outputs: Write, spec: dict[str, Any], endpoint: Endpoint, tmp_path: Path
) -> None:
    files = write_outputs([("q", "a")])
    query(files, spec, tmp_path / "records")
    with scripted_endpoint() as other:
        other.default = Answer(body=completion("Other. Rating: [[2]]"))
        frame = query(files, spec | {"base_url": other.base_url}, tmp_path / "records")
    assert frame["reply"].tolist() == ["Other. Rating: [[2]]"]
    slash = spec | {"base_url": spec["base_url"] + "/"}
    assert query(files, slash, tmp_path / "records")["reply"].tolist() == ["Fine. Rating: [[7]]"]
    assert len(endpoint.bodies) == 1


def test_a_judge_without_a_key_may_say_none(
    write_outputs: Write, spec: dict[str, Any], endpoint: Endpoint, tmp_path: Path
) -> None:
    """The client's stand-in for a missing key is a word that replies hold."""
    endpoint.default = Answer(body=completion("There is none better. Rating: [[9]]"))
    frame = query(write_outputs([("q", "a")]), spec, tmp_path / "records")
    assert frame["reply"].tolist() == ["There is none better. Rating: [[9]]"]


@pytest.mark.parametrize(
    ("asked", "answering", "is_accepted"),
    [
        ("gpt-4o", "gpt-4o", True),
        ("gpt-4o", "gpt-4o-2024-08-06", True),
        ("gpt-4", "gpt-4-0613", True),
        ("gpt-4o", "gpt-4o-mini", False),
        ("gpt-4o", "gpt-4o-mini-2024-07-18", False),
        ("gpt-4", "gpt-4-1106-preview", False),
        ("gpt-4", "gpt-4.1-2025-04-14", False),
        ("gpt-4", "gpt-4-32k-0613", False),
        ("gpt-4", "gpt-4o-0613", False),
    ],
)
def test_only_a_dated_snapshot_answers_under_another_name(
    write_outputs: Write, spec: dict[str, Any], endpoint: Endpoint, tmp_path: Path,
    asked: str, answering: str, is_accepted: bool,
) -> None:  # fmt: skip
    endpoint.default = Answer(body=completion().replace("judge-2024", answering))
    files = write_outputs([("q", "a")])
    if is_accepted:
        frame = query(files, spec | {"model": asked}, tmp_path / "records")
        assert frame["model"].tolist() == [answering]
    else:
        with pytest.raises(InputError, match=f"but {re.escape(answering)} answered"):
            query(files, spec | {"model": asked}, tmp_path / "records")


def test_endpoints_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    assert endpoint_name({}) == endpoint_name({"base_url": "https://api.openai.com/v1/"})
    assert endpoint_name({"server": "mini"}) == "server:mini"
    monkeypatch.setenv("OPENAI_BASE_URL", "https://elsewhere/v1")
    assert endpoint_name({}) == "https://elsewhere/v1"


def test_a_server_on_this_machine_is_reached_past_a_proxy(
    write_outputs: Write,
    spec: dict[str, Any],
    endpoint: Endpoint,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    assert len(query(write_outputs([("q", "a")]), spec, tmp_path / "records")) == 1
    assert len(endpoint.bodies) == 1


def test_an_unknown_server_is_refused(
    write_outputs: Write, spec: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"judges\.gpt-4\.server"):
        query(write_outputs([("q", "a")]), spec | {"server": "maxi"}, tmp_path / "records")


def test_the_miniature_judge_answers_over_http(write_outputs: Write, tmp_path: Path) -> None:
    spec = {"kind": "openai", "model": "rule-judge", "server": "mini"}
    prompt = yaml.safe_load(RATING_PROMPT.read_text())
    files = write_outputs([("anything at all", f"answer {i}") for i in range(20)])
    target = tmp_path / "raw.parquet"
    query_judge(*files, target, "mini", spec, prompt, tmp_path / "records")
    (stored,) = (tmp_path / "records").rglob("*.jsonl")
    query_judge(*files, target, "mini", spec, prompt, tmp_path / "records")
    assert list((tmp_path / "records").rglob("*.jsonl")) == [stored]
    parse_judgments(target, tmp_path / "s.parquet", "mini", "minus_one_over_nine")
    assert set(read_table(tmp_path / "s.parquet", "score")["status"]) == {"ok"}
