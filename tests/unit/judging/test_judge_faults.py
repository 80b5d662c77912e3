"""Judging under fire: several jobs, kills, full disks, keys, budgets, models that change."""

import json
import logging
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from scripted import PROMPT, Answer, Endpoint, completion

from helpers import ROOT
from reset_tuning.claims import Claims
from reset_tuning.errors import InputError
from reset_tuning.judging.canaries import tabulate_drift
from reset_tuning.judging.client import Limits
from reset_tuning.judging.costs import tabulate_costs
from reset_tuning.judging.parsing import parse_judgments
from reset_tuning.judging.query import Policy, query_judge
from reset_tuning.tables import read_table

Write = Callable[..., tuple[Path, list[Path]]]
KEY = "sk-test-5f1d0c77e2b94a6c"
VARIABLE = "RESET_TEST_JUDGE_KEY"
CANARIES = [{"question": "Two plus two?", "answer": "4"}, {"question": "Sky?", "answer": "Green."}]

# One job as a rule runs it: its log in a file, its arguments in another.
JOB = """
import json, resource, sys
from pathlib import Path
from types import SimpleNamespace
arguments = json.loads(Path(sys.argv[1]).read_text())
if arguments["largest_file"]:
    resource.setrlimit(resource.RLIMIT_FSIZE, (arguments["largest_file"],) * 2)
from reset_tuning.jobs import run
from reset_tuning.judging.client import Limits
from reset_tuning.judging.query import query_judge
def main():
    query_judge(
        Path(arguments["outputs"]), [Path(arguments["examples"])], Path(arguments["judgments"]),
        "gpt-4", arguments["spec"], arguments["prompt"], Path(arguments["records"]),
        Limits(arguments["concurrency"]),
    )
empty = SimpleNamespace(items=lambda: [])
run(main, SimpleNamespace(
    log=[arguments["log"]], threads=1, input=empty, output=empty, params=empty, resources=empty,
    rule="query_judge", wildcards=empty,
))
"""


@pytest.fixture
def start(
    write_outputs: Write, spec: dict[str, Any], tmp_path: Path
) -> Iterator[Callable[..., subprocess.Popen]]:
    """Return a function that starts a job on n rows; what still runs at the end is killed."""
    started: list[subprocess.Popen] = []

    def start(name: str, rows: int, largest_file: int = 0, concurrency: int = 4) -> Any:
        outputs, examples = write_outputs([("q", f"answer {i}") for i in range(rows)])
        arguments = {
            "outputs": str(outputs), "examples": str(examples[0]), "prompt": PROMPT,
            "judgments": str(tmp_path / f"{name}.parquet"), "log": str(tmp_path / f"{name}.log"),
            "spec": spec | {"api_key_variable": VARIABLE}, "records": str(tmp_path / "records"),
            "largest_file": largest_file, "concurrency": concurrency,
        }  # fmt: skip
        (tmp_path / f"{name}.json").write_text(json.dumps(arguments))
        environment = os.environ | {
            "PYTHONPATH": str(ROOT / "scripts"), VARIABLE: KEY, "OPENAI_LOG": "debug",
        }  # fmt: skip
        process = subprocess.Popen(
            [sys.executable, "-c", JOB, str(tmp_path / f"{name}.json")],
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
            process.communicate()


def finish(process: subprocess.Popen, code: int = 0) -> str:
    output, _ = process.communicate(timeout=600)
    assert process.returncode == code, output
    return output


def process_list() -> str:
    """Return the command lines of all processes, as everyone on the machine can read them."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            found.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return "\n".join(found)


def wait_for_calls(endpoint: Endpoint, count: int) -> None:
    deadline = time.monotonic() + 300
    while len(endpoint.bodies) < count:
        assert time.monotonic() < deadline, f"{len(endpoint.bodies)} calls came"
        time.sleep(0.01)


def calls(endpoint: Endpoint) -> Counter[str]:
    return Counter(body["messages"][1]["content"] for body in endpoint.bodies)


def query(
    files: tuple[Path, list[Path]], spec: dict[str, Any], tmp_path: Path, **policy: Any
) -> Any:
    target = tmp_path / "raw.parquet"
    records, limits = tmp_path / "records", Limits(concurrency=1, attempts=2, first_pause_seconds=0)
    query_judge(*files, target, "gpt-4", spec, PROMPT, records, limits, Policy(**policy))
    return read_table(target, "judgment")


def test_two_jobs_at_once_share_the_work_and_pay_for_nothing_twice(
    start: Callable[..., Any], endpoint: Endpoint, tmp_path: Path
) -> None:
    endpoint.default = Answer(seconds=0.02)
    first, second = start("first", 150), start("second", 150)
    finish(first), finish(second)
    assert set(calls(endpoint).values()) == {1} and len(endpoint.bodies) == 150
    tables = [(tmp_path / f"{name}.parquet").read_bytes() for name in ("first", "second")]
    assert tables[0] == tables[1]
    left = [path for path in (tmp_path / "records").rglob("claims/**/*") if path.is_file()]
    assert left == []


def test_a_restart_after_a_kill_pays_only_for_what_is_missing(
    start: Callable[..., Any], endpoint: Endpoint, tmp_path: Path
) -> None:
    endpoint.default = Answer(seconds=0.05)
    process = start("killed", 60)
    wait_for_calls(endpoint, 24)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    recorded = sum(1 for path in (tmp_path / "records").rglob("*.jsonl") for _ in path.open())
    assert recorded >= 24 - 4
    before = len(endpoint.bodies)
    finish(start("again", 60))
    assert len(endpoint.bodies) - before == 60 - recorded
    assert set(calls(endpoint).values()) <= {1, 2} and len(calls(endpoint)) == 60
    assert sum(calls(endpoint).values()) <= 60 + 4  # what was in flight when it was killed
    assert read_table(tmp_path / "again.parquet", "judgment")["error"].isna().all()


def test_a_full_disk_stops_the_job_and_keeps_what_was_paid(
    start: Callable[..., Any], endpoint: Endpoint, tmp_path: Path
) -> None:
    output = finish(start("full", 30, largest_file=6000, concurrency=1), code=1)
    assert "cannot be stored (File too large): make room and start again" in output
    assert "Traceback" not in output
    paid = len(endpoint.bodies)
    assert 3 <= paid < 30 and not (tmp_path / "full.parquet").exists()
    finish(start("again", 30))
    assert len(endpoint.bodies) == 30 + 1  # the one reply for which there was no room
    assert read_table(tmp_path / "again.parquet", "judgment")["error"].isna().all()


def test_the_key_is_in_no_file_log_exception_or_process_list(
    start: Callable[..., Any], endpoint: Endpoint, tmp_path: Path
) -> None:
    leak = json.dumps({"error": {"message": f"odd header Bearer {KEY}", "code": "bad"}})
    endpoint.script = [Answer(400, leak), Answer(body=completion(f"You sent {KEY}. Rating: [[5]]"))]
    endpoint.default = Answer(seconds=0.05)
    process = start("job", 12, concurrency=1)
    wait_for_calls(endpoint, 6)
    assert str(tmp_path / "job.json") in process_list() and KEY not in process_list()
    output = finish(process)
    assert KEY not in output and "asking http" in output
    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert KEY.encode() not in path.read_bytes(), path
    endpoint.default = Answer(401, leak)
    assert KEY not in finish(start("refused", 13), code=1)


def test_a_replay_needs_no_endpoint_and_gives_the_same_bytes(
    write_outputs: Write, spec: dict[str, Any], endpoint: Endpoint, tmp_path: Path
) -> None:
    files = write_outputs([("q", text) for text in ("a", "b", "", "c", "d", "a")])
    endpoint.script = [
        Answer(400, '{"error": {"message": "never"}}'), Answer(),
        Answer(body=completion(None, "content_filter")), Answer(body=completion("No idea.")),
    ]  # fmt: skip
    query(files, spec, tmp_path)
    targets = [tmp_path / "raw.parquet", tmp_path / "scores.parquet"]
    parse_judgments(*targets, "gpt-4", "rating_over_ten")
    live = [path.read_bytes() for path in targets]
    closed = spec | {"api_key_variable": "NOT_SET"}
    n_calls = len(endpoint.bodies)
    query(files, closed, tmp_path, mode="replay")
    parse_judgments(*targets, "gpt-4", "rating_over_ten")
    assert [path.read_bytes() for path in targets] == live
    assert len(endpoint.bodies) == n_calls
    with pytest.raises(InputError, match=r"lacks 1 of 2 replies .*judges\.gpt-4\.mode to live"):
        query(write_outputs([("q", "a"), ("q", "new")]), closed, tmp_path, mode="replay")
    with pytest.raises(InputError, match="live, replay, batch"):
        query(files, spec, tmp_path, mode="offline")


@pytest.mark.parametrize("cause", ["quota", "budget"])
def test_a_run_that_was_stopped_is_not_replayed_as_if_it_were_whole(
    write_outputs: Write, spec: dict[str, Any], endpoint: Endpoint, tmp_path: Path, cause: str
) -> None:
    files = write_outputs([("q", str(number)) for number in range(9)])
    policy: dict[str, Any] = {}
    endpoint.script = [Answer()] * 5
    if cause == "quota":
        endpoint.default = Answer(429, '{"error": {"message": "no", "code": "insufficient_quota"}}')
    else:
        price = {"prompt": 0.0, "completion": 1e6}
        policy = {"price": price, "max_budget": 512 + 4 * 5}
    with pytest.raises(InputError, match="left 4 of 9 requests"):
        query(files, spec, tmp_path, canaries=CANARIES, **policy)
    assert len(endpoint.bodies) == (6 if cause == "quota" else 5), "no canary was sent either"
    with pytest.raises(InputError, match="lacks 4 of 9 replies"):
        query(files, spec, tmp_path, mode="replay")


def test_a_budget_stops_before_the_request_that_could_pass_it(
    write_outputs: Write, spec: dict[str, Any], endpoint: Endpoint, tmp_path: Path
) -> None:
    files = write_outputs([("q", str(number)) for number in range(9)])
    price = {"prompt": 30.0, "completion": 60.0}
    usual, dearest = (11 * 30 + 5 * 60) / 1e6, (512 * 60 + 30 * 30) / 1e6
    with pytest.raises(InputError, match=r"raise judges\.gpt-4\.max_budget above"):
        query(files, spec, tmp_path, price=price, max_budget=dearest + 2 * usual)
    paid = len(endpoint.bodies)
    assert 2 <= paid <= 4
    with pytest.raises(InputError, match="max_budget"):
        query(files, spec, tmp_path, price=price, max_budget=dearest + 2 * usual)
    assert len(endpoint.bodies) == paid, "what other runs have paid counts"
    assert query(files, spec, tmp_path, price=price, max_budget=1.0)["error"].isna().all()
    assert len(endpoint.bodies) == 9


def test_an_answer_of_another_model_is_told_and_kept(
    write_outputs: Write, spec: dict[str, Any], endpoint: Endpoint, tmp_path: Path
) -> None:
    files = write_outputs([("q", "a")])
    endpoint.default = Answer(body=completion().replace("judge-2024", "cheap-model"))
    with pytest.raises(InputError, match=r"cheap-model answered: .*judges\.gpt-4\.accept_models"):
        query(files, spec, tmp_path)
    accepted = spec | {"accept_models": ["cheap-model"]}
    assert query(files, accepted, tmp_path)["model"].tolist() == ["cheap-model"]
    assert len(endpoint.bodies) == 1


def test_a_stray_reply_of_another_model_is_asked_for_again_and_was_paid_for(
    write_outputs: Write, spec: dict[str, Any], endpoint: Endpoint, tmp_path: Path
) -> None:
    """Each reply has 5 completion tokens."""
    files = write_outputs([("q", "a"), ("q", "b"), ("q", "c")])
    stray = Answer(body=completion("[[1]]").replace("judge-2024", "cheap-model"))
    endpoint.script = [Answer(), stray]
    with pytest.raises(InputError, match="but cheap-model answered"):
        query(files, spec, tmp_path)
    with pytest.raises(InputError, match=r"but cheap-model answered: .*accept_models"):
        query(files, spec, tmp_path, mode="replay")
    price = {"prompt": 0.0, "completion": 1e6}
    with pytest.raises(InputError, match=r"\$10\.00 are spent"):
        query(files, spec, tmp_path, price=price, max_budget=10 + 511)
    assert len(endpoint.bodies) == 2
    frame = query(files, spec, tmp_path, price=price, max_budget=15 + 512)
    assert set(frame["model"]) == {"judge-2024"} and len(endpoint.bodies) == 4
    assert frame["completion_tokens"].tolist() == [5, 10, 5]
    table = (tmp_path / "raw.parquet").read_bytes()
    for mode in ("live", "replay"):
        query(files, spec, tmp_path, mode=mode)
        assert (tmp_path / "raw.parquet").read_bytes() == table
    assert len(endpoint.bodies) == 4


def test_a_stray_reply_that_gave_way_to_a_failure_does_not_stop_a_replay(
    write_outputs: Write, spec: dict[str, Any], endpoint: Endpoint, tmp_path: Path
) -> None:
    files = write_outputs([("q", "a"), ("q", "b")])
    stray = Answer(body=completion("[[1]]").replace("judge-2024", "cheap-model"))
    endpoint.script = [Answer(), stray, Answer(400, error_of("too long"))]
    with pytest.raises(InputError, match="but cheap-model answered"):
        query(files, spec, tmp_path)
    query(files, spec, tmp_path)
    table = (tmp_path / "raw.parquet").read_bytes()
    query(files, spec, tmp_path, mode="replay")
    assert (tmp_path / "raw.parquet").read_bytes() == table


def error_of(message: str, **fields: Any) -> str:
    return json.dumps({"error": {"message": message, "param": None} | fields})


GONE = {
    "OpenAI": Answer(404, error_of("no such model", code="model_not_found")),
    "OpenAI, no access": Answer(403, error_of("no access to model x", code="model_not_found")),
    "OpenAI, deprecated": Answer(404, error_of("x is deprecated", code="model_deprecated")),
    "vLLM": Answer(404, error_of("`x` does not exist.", type="NotFoundError", code=404)),
    "older vLLM": Answer(
        404, json.dumps({"object": "error", "message": "x", "type": "NotFoundError", "code": 404})
    ),
    "Azure": Answer(404, error_of("The API does not exist.", code="DeploymentNotFound")),
    "another": Answer(404, error_of("model 'x' not found, try pulling it first")),
}


@pytest.mark.parametrize("name", GONE)
def test_a_model_that_is_gone_names_the_key_and_the_deviation(
    write_outputs: Write, spec: dict[str, Any], endpoint: Endpoint, tmp_path: Path, name: str
) -> None:
    endpoint.script, endpoint.default = [Answer()] * 2, GONE[name]
    files = write_outputs([("q", str(number)) for number in range(9)])
    sentence = r"judges\.gpt-4\.model judge is not served .*deviations"
    with pytest.raises(InputError, match=sentence) as caught:
        query(files, spec, tmp_path)
    assert len(endpoint.bodies) == 3 and "key" not in str(caught.value)


@pytest.mark.parametrize("answer", [Answer(0), Answer(503, "busy"), Answer(401, "who?")])
def test_an_endpoint_that_dies_is_not_asked_for_ever(
    write_outputs: Write, spec: dict[str, Any], endpoint: Endpoint, tmp_path: Path, answer: Answer
) -> None:
    files = write_outputs([("q", str(number)) for number in range(200)])
    endpoint.script, endpoint.default = [Answer()] * 5, answer
    sentence = r"left 195 of 200 requests without a reply, 179 of them not sent .*check"
    with pytest.raises(InputError, match=sentence) as caught:
        query(files, spec, tmp_path, canaries=CANARIES)
    attempts = 1 if answer.status == 401 else 2
    assert len(endpoint.bodies) == 5 + 16 * attempts and "\n" not in str(caught.value)
    with pytest.raises(InputError, match="lacks 179 of 200 replies"):
        query(files, spec, tmp_path, mode="replay")
    endpoint.default = Answer()
    assert query(files, spec, tmp_path)["error"].isna().all()
    assert len(endpoint.bodies) == 5 + 16 * attempts + 195


def test_requests_that_are_refused_for_what_they_hold_do_not_stop_the_job(
    write_outputs: Write, spec: dict[str, Any], endpoint: Endpoint, tmp_path: Path
) -> None:
    files = write_outputs([("q", str(number)) for number in range(40)])
    endpoint.script = [Answer(), *[Answer(400, error_of("too long"))] * 30]
    assert query(files, spec, tmp_path)["error"].notna().sum() == 30


@pytest.mark.parametrize("body", ["<html>no</html>", completion(None, "length")])
def test_one_request_that_gets_no_usable_reply_does_not_hold_up_a_table_that_is_known(
    write_outputs: Write, spec: dict[str, Any], endpoint: Endpoint, tmp_path: Path, body: str
) -> None:
    files = write_outputs([("q", str(number)) for number in range(20)])
    endpoint.script, endpoint.default = [Answer()] * 19, Answer(body=body)
    for _ in range(2):  # the second job asks for that one alone
        frame = query(files, spec, tmp_path, max_failure_share=0.05)
        assert frame["error"].str.startswith("invalid_reply").sum() == 1
    with pytest.raises(InputError, match=r"left 1 of 20 requests .*invalid_reply"):
        query(files, spec, tmp_path, max_failure_share=0.04)


@pytest.mark.parametrize("answer", [Answer(0), Answer(503, "busy"), Answer(401, "who?")])
def test_an_endpoint_that_is_down_stops_the_job_whatever_is_known(
    write_outputs: Write, spec: dict[str, Any], endpoint: Endpoint, tmp_path: Path, answer: Answer
) -> None:
    endpoint.script, endpoint.default = [Answer()] * 19, answer
    query(write_outputs([("q", str(number)) for number in range(19)]), spec, tmp_path)
    files = write_outputs([("q", str(number)) for number in range(20)])
    with pytest.raises(InputError, match=r"left 1 of 20 requests without a reply .*check"):
        query(files, spec, tmp_path, max_failure_share=0.5)


def test_too_many_passing_failures_stop_the_job_and_few_are_rows(
    write_outputs: Write, spec: dict[str, Any], endpoint: Endpoint, tmp_path: Path
) -> None:
    files = write_outputs([("q", str(number)) for number in range(10)])
    endpoint.script = [Answer()] * 8 + [Answer(500, "x")] * 4
    with pytest.raises(InputError, match="left 2 of 10 requests"):
        query(files, spec, tmp_path, max_failure_share=0.1)
    assert not (tmp_path / "raw.parquet").exists()
    endpoint.script = [Answer()] + [Answer(500, "x")] * 2
    frame = query(files, spec, tmp_path, max_failure_share=0.5)
    assert frame["error"].notna().sum() == 1


def test_canaries_are_judged_again_and_drift_is_reported(
    write_outputs: Write,
    spec: dict[str, Any],
    endpoint: Endpoint,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    from reset_tuning.judging import canaries

    query(write_outputs([("q", "a")]), spec, tmp_path, canaries=CANARIES)
    assert len(endpoint.bodies) == 3
    query(write_outputs([("q", "b")]), spec, tmp_path, canaries=CANARIES)
    assert len(endpoint.bodies) == 4, "the jobs of one run share one rating"
    query(write_outputs([("q", "a")]), spec, tmp_path, canaries=CANARIES)
    assert len(endpoint.bodies) == 4, "nothing is asked where all is on record"
    monkeypatch.setattr(canaries, "_FRESH_SECONDS", -1.0)
    other = completion("Rating: [[4]]").replace("judge-2024", "judge-2025")
    endpoint.default = Answer(
        body=other.replace('"id": "x"', '"id": "x", "system_fingerprint": "fp9"')
    )
    with caplog.at_level(logging.WARNING):
        frame = query(write_outputs([("q", "c")]), spec, tmp_path, canaries=CANARIES)
    assert frame["fingerprint"].tolist() == ["fp9"]
    assert "rated 7.0 by judge-2024 and is rated 4.0 by judge-2025" in caplog.text
    endpoint.default = Answer(body=completion("I cannot say."))
    with caplog.at_level(logging.WARNING):
        query(write_outputs([("q", "d")]), spec, tmp_path, canaries=CANARIES)
        assert "was rated 7.0 by judge-2024 and now has no rating by judge-2024" in caplog.text
        caplog.clear()
        endpoint.default = Answer()
        query(write_outputs([("q", "e")]), spec, tmp_path, canaries=CANARIES)
        assert "nan" not in caplog.text and "drifted" not in caplog.text
    endpoint.default = Answer(body=other.replace('"id": "x"', '"system_fingerprint": "fp9"'))
    query(write_outputs([("q", "f")]), spec, tmp_path, canaries=CANARIES)
    tabulate_drift(["gpt-4", "unused"], tmp_path / "records", tmp_path / "drift.csv")
    drift = read_table(tmp_path / "drift.csv", "judge_drift")
    assert drift["change"].tolist() == [-3.0, -3.0] and drift["n"].tolist() == [5, 5]
    assert set(drift["last_fingerprint"]) == {"fp9"}


def test_canaries_count_for_the_budget(
    write_outputs: Write, spec: dict[str, Any], endpoint: Endpoint, tmp_path: Path
) -> None:
    """Each reply has 5 completion tokens, and 512 at most."""
    price = {"prompt": 0.0, "completion": 1e6}
    files = write_outputs([("q", "a")])
    query(files, spec, tmp_path, canaries=CANARIES, price=price, max_budget=5 + 5 + 512)
    assert len(endpoint.bodies) == 3, "both were within the budget"
    (journal,) = (tmp_path / "records" / "gpt-4" / "canaries").glob("*.jsonl")
    before = {"canary": "f" * 64, "time": 1.0, "reply": "[[7]]", "error": None}
    journal.write_text(journal.read_text() + json.dumps(before) + "\n" + '{"torn')
    files = write_outputs([("q", "b")])
    with pytest.raises(InputError, match=r"\$15\.00 are spent"):
        query(files, spec, tmp_path, canaries=CANARIES, price=price, max_budget=15 + 511)
    query(files, spec, tmp_path, canaries=CANARIES, price=price, max_budget=15 + 512)
    assert len(endpoint.bodies) == 4


def test_canaries_that_would_pass_the_budget_are_not_sent_and_not_on_record(
    write_outputs: Write, spec: dict[str, Any], endpoint: Endpoint, tmp_path: Path
) -> None:
    price = {"prompt": 0.0, "completion": 1e6}
    files = write_outputs([("q", "a")])
    query(files, spec, tmp_path, canaries=CANARIES, price=price, max_budget=5 + 512)
    assert len(endpoint.bodies) == 2
    (journal,) = (tmp_path / "records" / "gpt-4" / "canaries").glob("*.jsonl")
    assert len(journal.read_text().splitlines()) == 1


def test_replies_without_a_text_are_paid_for_and_counted(
    write_outputs: Write, spec: dict[str, Any], endpoint: Endpoint, tmp_path: Path
) -> None:
    """Each has 5 completion tokens; a request is asked three times before it is given up."""
    price = {"prompt": 0.0, "completion": 1_000_000.0}
    files = write_outputs([("q", "a"), ("q", "b"), ("q", "b")])
    empty = Answer(body=completion(None, "length"))
    endpoint.script = [empty, Answer(), *[empty] * 3]
    frame = query(files, spec, tmp_path)
    assert frame["completion_tokens"].tolist() == [10, 15, 15]
    assert frame["error"].str.startswith("invalid_reply").tolist() == [False, True, True]
    table, target = (tmp_path / "raw.parquet").read_bytes(), tmp_path / "cost.csv"
    query(files, spec, tmp_path, mode="replay")
    assert (tmp_path / "raw.parquet").read_bytes() == table
    tabulate_costs({"generations": [tmp_path / "raw.parquet"]}, {"gpt-4": price}, target)
    (cost,) = read_table(target, "judge_cost").to_dict("records")
    assert (cost["dollars"], cost["n_replies"], cost["n_failed"]) == (25, 1, 2)
    with pytest.raises(InputError, match=r"\$25\.00 are spent"):
        query(files, spec, tmp_path, price=price, max_budget=25 + 511)
    assert query(files, spec, tmp_path, price=price, max_budget=25 + 512)["error"].isna().all()
    tabulate_costs({"generations": [tmp_path / "raw.parquet"]}, {"gpt-4": price}, target)
    (cost,) = read_table(target, "judge_cost").to_dict("records")
    assert (cost["dollars"], cost["n_replies"], cost["n_failed"]) == (30, 2, 0)


def test_costs_count_every_reply_once(
    write_outputs: Write, spec: dict[str, Any], endpoint: Endpoint, tmp_path: Path
) -> None:
    query(write_outputs([("q", "a"), ("q", "a"), ("q", ""), ("q", "b")]), spec, tmp_path)
    tables = [(tmp_path / "raw.parquet").rename(tmp_path / "first.parquet")]
    query(write_outputs([("q", "b"), ("q", "c")]), spec, tmp_path)
    prices = {"gpt-4": {"prompt": 1_000_000.0, "completion": 0.0}}
    stages = {"generations": tables, "samples": [tmp_path / "raw.parquet"]}
    tabulate_costs(stages, prices, tmp_path / "cost.csv")
    cost = read_table(tmp_path / "cost.csv", "judge_cost").set_index("stage")
    assert cost.loc["generations", ["n_rows", "n_replies", "n_failed"]].tolist() == [4, 2, 0]
    assert cost.loc["samples", ["n_rows", "n_replies", "n_failed"]].tolist() == [2, 1, 0]
    assert cost["dollars"].tolist() == [22, 11] and cost["completion_tokens"].tolist() == [10, 5]
    tabulate_costs({}, {}, tmp_path / "none.csv")
    assert len(read_table(tmp_path / "none.csv", "judge_cost")) == 0


def test_a_claim_is_held_by_one_and_taken_over_from_the_dead(tmp_path: Path) -> None:
    with Claims(tmp_path) as first, Claims(tmp_path) as second:
        assert first.take("a") and not second.take("a") and second.take("b")
        first.release("a")
        assert second.take("a") and not first.take("a")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    owner = tmp_path / "owners" / "elsewhere-1-1"
    identity = {"host": "elsewhere", "namespace": "x", "process": 1, "started": "1"}
    owner.write_text(json.dumps(identity))
    (tmp_path / "c").write_text("elsewhere-1-1")
    with Claims(tmp_path, lease_seconds=60) as claims:
        assert not claims.take("c"), "its pulse is fresh"
        os.utime(owner, (1, 1))
        assert claims.take("c")
    with Claims(tmp_path) as claims:
        (tmp_path / "d").write_text("gone-1-1")
        assert claims.take("d"), "no such process was ever here"
        (tmp_path / "e").touch()
        assert not claims.take("e"), "its maker may be about to write its name"
        os.utime(tmp_path / "e", (1, 1))
        assert claims.take("e")


def test_messages_of_the_endpoint_are_one_line(
    write_outputs: Write, spec: dict[str, Any], endpoint: Endpoint, tmp_path: Path
) -> None:
    endpoint.default = Answer(404, "no\nsuch\npage")
    with pytest.raises(InputError) as caught:
        query(write_outputs([("q", "a")]), spec, tmp_path)
    assert re.search("check judges.gpt-4", str(caught.value)) and "\n" not in str(caught.value)
