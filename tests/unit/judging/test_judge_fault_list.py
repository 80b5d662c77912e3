"""Every fault that an endpoint is known for, in the middle of a job and for ever, with its calls.

Kills, jobs at once, torn records and full disks: test_judge_faults.py and test_judge_batch.py.
"""

import json
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from scripted import PROMPT, Answer, Endpoint, completion, scripted_endpoint

from reset_tuning.errors import InputError
from reset_tuning.judging.client import Limits
from reset_tuning.judging.query import Policy, query_judge
from reset_tuning.tables import read_table

Write = Callable[..., tuple[Path, list[Path]]]
ROWS = 12
ATTEMPTS = 4
LIMITS = Limits(
    concurrency=3, attempts=ATTEMPTS, invalid_attempts=ATTEMPTS, timeout_seconds=3.0,
    first_pause_seconds=0.01,
)  # fmt: skip
SLOW = json.dumps({"error": {"message": "slow down", "code": "rate_limit_exceeded"}})
FAULTS = {
    "429 with retry-after": Answer(429, SLOW, {"retry-after": "0.3"}),
    "500": Answer(500, "oops"),
    "503 from a proxy": Answer(503, "<html>busy</html>"),
    "hang": Answer(seconds=4.0),
    "slow drip": Answer(drips=True),
    "dropped connection": Answer(0),
    "truncated JSON": Answer(body=completion()[:50]),
    "HTML": Answer(body="<html>sign in</html>"),
    "no choices": Answer(body='{"object": "chat.completion", "choices": []}'),
    "empty content": Answer(body=completion(content="")),
    "null content": Answer(body=completion(content=None)),
}


def ask(files: tuple[Path, list[Path]], spec: dict[str, Any], tmp_path: Path) -> Any:
    target = tmp_path / "raw.parquet"
    query_judge(*files, target, "gpt-4", spec, PROMPT, tmp_path / "records", LIMITS)
    return read_table(target, "judgment")


@pytest.fixture
def files(write_outputs: Write) -> tuple[Path, list[Path]]:
    return write_outputs([("q", f"answer {number}") for number in range(ROWS)])


@pytest.mark.parametrize("name", FAULTS)
def test_in_the_middle_a_fault_costs_one_call_and_no_row(
    files: Any, spec: dict[str, Any], endpoint: Endpoint, tmp_path: Path, name: str
) -> None:
    endpoint.script = [*[Answer()] * 5, FAULTS[name], Answer(), FAULTS[name]]
    began = time.monotonic()
    frame = ask(files, spec, tmp_path)
    assert frame["error"].isna().all() and len(frame) == ROWS
    assert len(endpoint.bodies) == ROWS + 2
    if "retry-after" in name:
        assert time.monotonic() - began >= 0.3
    assert ask(files, spec, tmp_path)["reply"].tolist() == frame["reply"].tolist()
    assert len(endpoint.bodies) == ROWS + 2, "all of it is on record"


def test_a_burst_of_server_errors_is_outlasted(
    files: Any, spec: dict[str, Any], endpoint: Endpoint, tmp_path: Path
) -> None:
    burst = [FAULTS["500"]] * (LIMITS.concurrency * (ATTEMPTS - 1))
    endpoint.script = [*[Answer()] * 3, *burst]
    assert ask(files, spec, tmp_path)["error"].isna().all()
    assert len(endpoint.bodies) == ROWS + len(burst)


@pytest.mark.parametrize("name", FAULTS)
def test_for_ever_it_ends_the_job_in_one_sentence_and_keeps_what_was_paid(
    files: Any, spec: dict[str, Any], endpoint: Endpoint, tmp_path: Path, name: str
) -> None:
    endpoint.script, endpoint.default = [Answer()] * 5, FAULTS[name]
    with pytest.raises(InputError, match=r"the judge gpt-4 left \d+ of 12 requests") as caught:
        query_judge(
            *files, tmp_path / "raw.parquet", "gpt-4", spec, PROMPT, tmp_path / "records", LIMITS,
            Policy(max_failure_share=0.05),
        )  # fmt: skip
    assert "\n" not in str(caught.value) and not (tmp_path / "raw.parquet").exists()
    left = ROWS - 5
    assert len(endpoint.bodies) == 5 + left * ATTEMPTS
    endpoint.script, endpoint.default = [], Answer()
    assert ask(files, spec, tmp_path)["error"].isna().all()
    assert len(endpoint.bodies) == 5 + left * ATTEMPTS + left


def test_a_refusal_is_an_answer(
    files: Any, spec: dict[str, Any], endpoint: Endpoint, tmp_path: Path
) -> None:
    endpoint.script = [Answer(), Answer(body=completion(None, "content_filter"))]
    frame = ask(files, spec, tmp_path)
    assert frame["error"].isna().all() and frame["reply"].isna().sum() == 1
    assert len(endpoint.bodies) == ROWS, "it is on record and not asked for again"


def test_another_model_than_the_asked_one_stops_the_job_and_stays_on_record(
    files: Any, spec: dict[str, Any], endpoint: Endpoint, tmp_path: Path
) -> None:
    endpoint.script = [Answer(), Answer(body=completion().replace("judge-2024", "cheap"))]
    with pytest.raises(InputError, match=r"but cheap answered: .*accept_models"):
        ask(files, spec, tmp_path)
    sent = len(endpoint.bodies)
    assert sent <= 2 + LIMITS.concurrency, "nothing was sent after the first such reply"
    assert ask(files, spec | {"accept_models": ["cheap"]}, tmp_path)["error"].isna().all()
    assert len(endpoint.bodies) == ROWS, "what was in flight was kept"


def test_a_refused_connection_is_waited_for(files: Any, tmp_path: Path) -> None:
    """Nothing listens at first, as while a server restarts."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    spec = {"kind": "openai", "model": "judge", "base_url": f"http://127.0.0.1:{port}/v1"}
    with pytest.raises(InputError, match=r"left 12 of 12 .*connection: .*endpoint can be reached"):
        ask(files, spec, tmp_path)
    done = threading.Event()

    def serve() -> None:
        time.sleep(0.5)
        with scripted_endpoint(port):
            done.wait(300)

    server = threading.Thread(target=serve)
    server.start()
    try:
        limits = Limits(concurrency=3, attempts=8, first_pause_seconds=0.1)
        target = tmp_path / "raw.parquet"
        query_judge(*files, target, "gpt-4", spec, PROMPT, tmp_path / "records", limits)
        assert read_table(target, "judgment")["error"].isna().all()
    finally:
        done.set()
        server.join()
