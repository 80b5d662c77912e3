"""The batch API, against a real HTTP server that speaks it."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from scripted import PROMPT, completion

from helpers import ROOT
from reset_tuning.claims import Claims
from reset_tuning.errors import InputError
from reset_tuning.judging.batch import Waiting
from reset_tuning.judging.client import Limits
from reset_tuning.judging.costs import tabulate_costs
from reset_tuning.judging.query import Policy, query_judge
from reset_tuning.judging.requests import build_request
from reset_tuning.tables import read_table

Write = Callable[..., tuple[Path, list[Path]]]


@dataclass
class Provider:
    """Files and batches; a batch is finished at the `looks`-th look at it."""

    base_url: str = ""
    files: dict[str, str] = field(default_factory=dict)
    batches: dict[str, dict[str, Any]] = field(default_factory=dict)
    looks: int = 2
    lost: str | None = None
    answered: int = 0  # requests of a lost batch that were answered before it was lost
    refused: tuple[str, ...] = ()
    refusal: tuple[int, Any] = (400, {"error": "no"})
    errors: list[dict[str, Any]] = field(default_factory=list)  # of a batch that failed
    takes_batches: bool = True
    live: Callable[[dict[str, Any]], Any] | None = None  # answers requests outside of batches

    def upload(self, body: bytes) -> dict[str, Any]:
        content = re.search(rb"filename=\"requests.jsonl\".*?\r\n\r\n(.*?)\r\n--", body, re.S)
        assert content is not None
        name = f"file-{len(self.files)}"
        self.files[name] = content[1].decode()
        return {"id": name, "object": "file", "bytes": 1, "created_at": 0, "filename": "x",
                "purpose": "batch", "status": "processed"}  # fmt: skip

    def create(self, request: dict[str, Any]) -> dict[str, Any]:
        name = f"batch-{len(self.batches)}"
        fields = {"id": name, "object": "batch", "status": "in_progress", "created_at": 0}
        self.batches[name] = request | fields | {"looks": 0}
        return self.batches[name]

    def look(self, name: str) -> dict[str, Any]:
        batch = self.batches[name]
        batch["looks"] += 1
        if batch["looks"] >= self.looks:
            batch["status"] = self.lost or "completed"
            batch["errors"] = {"object": "list", "data": self.errors}
            batch["output_file_id"] = f"{name}-output"
            self.files[f"{name}-output"] = "\n".join(self._answers(batch))
        return batch

    @property
    def sent(self) -> list[int]:
        """The number of requests in each batch, in the order of sending."""
        return [len(self.files[b["input_file_id"]].splitlines()) for b in self.batches.values()]

    def _answers(self, batch: dict[str, Any]) -> Iterator[str]:
        lines = self.files[batch["input_file_id"]].splitlines()[::-1]
        for line in lines[: self.answered] if self.lost else lines:
            request = json.loads(line)
            text = request["body"]["messages"][1]["content"]
            is_refused = any(text.endswith(word) for word in self.refused)
            status, body = self.refusal if is_refused else (200, None)
            body = body or json.loads(completion(f"{text} [[6]]"))
            response = {"status_code": status, "request_id": "r", "body": body}
            yield json.dumps({"custom_id": request["custom_id"], "response": response})


@pytest.fixture
def provider() -> Iterator[Provider]:
    state = Provider()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            is_file = self.path.endswith("/files")
            if state.live and self.path.endswith("/chat/completions"):
                self.send(state.live(json.loads(body)).body)
            elif is_file or state.takes_batches:
                self.send(state.upload(body) if is_file else state.create(json.loads(body)))
            else:
                error = {"code": "DeploymentNotFound", "message": "The API does not exist"}
                self.send({"error": error}, 404)

        def do_GET(self) -> None:
            *_, kind, name = self.path.split("?")[0].split("/")
            if name == "batches":
                data = list(state.batches.values())
                self.send({"object": "list", "data": data, "has_more": False})
            elif name == "content":
                self.send(state.files[kind])
            else:
                self.send(state.look(name))

        def send(self, content: Any, status: int = 200) -> None:
            body = (content if isinstance(content, str) else json.dumps(content)).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        state.base_url = f"http://127.0.0.1:{server.server_address[1]}/v1"
        yield state
        server.shutdown()


def query(files: tuple[Path, list[Path]], provider: Provider, tmp_path: Path, **policy: Any) -> Any:
    spec = {"kind": "openai", "model": "judge", "base_url": provider.base_url}
    waiting = policy.pop("waiting", Waiting(poll_seconds=0.01))
    chosen = Policy(**({"mode": "batch", "waiting": waiting} | policy))
    target, records = tmp_path / "raw.parquet", tmp_path / "records"
    query_judge(*files, target, "gpt-4", spec, PROMPT, records, Limits(attempts=1), chosen)
    return read_table(target, "judgment")


def test_a_batch_gives_the_rows_that_live_requests_give(
    write_outputs: Write, provider: Provider, tmp_path: Path
) -> None:
    provider.refused = ("c",)
    files = write_outputs([("q", text) for text in ("a", "b", "", "c", "a")])
    frame = query(files, provider, tmp_path)
    sent = provider.files["file-0"].splitlines()
    assert len(sent) == 3 and len(provider.batches) == 1
    assert json.loads(sent[0])["body"]["messages"][1]["content"].startswith("[Question]")
    assert frame["reply"][0].endswith("a [[6]]") and frame["reply"][1].endswith("b [[6]]")
    assert frame["error"].isna().tolist() == [True, True, False, False, True]
    assert frame["error"][3].startswith("http_400")
    first = (tmp_path / "raw.parquet").read_bytes()
    query(files, provider, tmp_path, mode="replay")
    assert (tmp_path / "raw.parquet").read_bytes() == first
    assert len(provider.batches) == 1


def test_a_job_that_was_killed_finds_its_batch_again(
    write_outputs: Write, provider: Provider, tmp_path: Path
) -> None:
    files = write_outputs([("q", "a"), ("q", "b")])
    provider.looks = 10**9
    with pytest.raises(InputError, match=r"still in_progress .* start again later"):
        query(files, provider, tmp_path, waiting=Waiting(poll_seconds=0.01, hours=0))
    provider.looks = 1
    assert query(files, provider, tmp_path)["error"].isna().all()
    assert len(provider.batches) == 1, "nothing was sent again"


def test_a_lost_batch_is_sent_again_by_the_next_job(
    write_outputs: Write, provider: Provider, tmp_path: Path
) -> None:
    files = write_outputs([("q", "a"), ("q", "b")])
    provider.lost = "expired"
    with pytest.raises(InputError, match="batch_expired: not answered"):
        query(files, provider, tmp_path)
    provider.lost = None
    assert query(files, provider, tmp_path)["error"].isna().all()
    assert len(provider.batches) == 2


def test_a_batch_that_follows_a_lost_one_is_found_again(
    write_outputs: Write, provider: Provider, tmp_path: Path
) -> None:
    """Both hold the same requests, and the first is done with."""
    files = write_outputs([("q", "a"), ("q", "b")])
    provider.lost = "expired"
    with pytest.raises(InputError, match="batch_expired"):
        query(files, provider, tmp_path)
    provider.lost, provider.looks = None, 10**9
    for _ in range(2):
        with pytest.raises(InputError, match="start again later"):
            query(files, provider, tmp_path, waiting=Waiting(poll_seconds=0.01, hours=0))
    provider.looks = 1
    assert query(files, provider, tmp_path)["error"].isna().all()
    assert provider.sent == [2, 2], "the second was paid for once"


def test_a_batch_that_is_known_by_the_digest_of_its_requests_is_found(
    write_outputs: Write, provider: Provider, tmp_path: Path
) -> None:
    """Batches were labelled so in journals that are still on disks."""
    files = write_outputs([("q", "a")])
    provider.looks = 10**9
    with pytest.raises(InputError, match="start again later"):
        query(files, provider, tmp_path, waiting=Waiting(poll_seconds=0.01, hours=0))
    (journal,) = (tmp_path / "records" / "gpt-4" / "batches").glob("*.jsonl")
    (batch,) = provider.batches.values()
    digest, (label, name) = "0a" * 32, *batch["metadata"].items()
    journal.write_text(journal.read_text().replace(name, digest))
    batch["metadata"][label] = digest
    provider.looks = 1
    assert query(files, provider, tmp_path)["error"].isna().all() and provider.sent == [1]


def test_the_providers_reason_is_told(
    write_outputs: Write, provider: Provider, tmp_path: Path
) -> None:
    files = write_outputs([("q", "a"), ("q", "b")])
    provider.lost = "failed"
    provider.errors = [{"code": "token_limit_exceeded", "message": "Enqueued token limit reached"}]
    with pytest.raises(InputError, match="batch_failed: Enqueued token limit reached"):
        query(files, provider, tmp_path)


@pytest.mark.parametrize("place", ["batch", "line"])
def test_a_model_that_is_gone_is_told_of_a_batch_too(
    write_outputs: Write, provider: Provider, tmp_path: Path, place: str
) -> None:
    error = {"code": "model_not_found", "message": "The model does not exist"}
    if place == "batch":
        provider.lost, provider.errors = "failed", [error]
    else:
        provider.refused, provider.refusal = ("a", "b"), (404, {"error": error})
    files = write_outputs([("q", text) for text in "abc"])
    with pytest.raises(InputError, match=r"The model does not exist.*model judge is not served"):
        query(files, provider, tmp_path)


def test_a_provider_that_takes_no_batch_of_the_model_is_told(
    write_outputs: Write, provider: Provider, tmp_path: Path
) -> None:
    provider.takes_batches = False
    with pytest.raises(InputError, match=r"judges\.gpt-4\.model judge is not served"):
        query(write_outputs([("q", "a")]), provider, tmp_path)


# A job in batch mode that is killed when it has stored two replies.
KILLED = """
import json, os, signal, sys
from pathlib import Path
from reset_tuning.judging.batch import Waiting
from reset_tuning.judging.client import Limits
from reset_tuning.judging.query import Policy, query_judge
from reset_tuning.judging.records import Records
a = json.loads(sys.argv[1])
store, stored = Records.store, []
def store_and_die(self, request, reply):
    store(self, request, reply)
    stored.append(request)
    if len(stored) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
Records.store = store_and_die
query_judge(
    Path(a["outputs"]), [Path(a["examples"])], Path(a["target"]), "gpt-4", a["spec"], a["prompt"],
    Path(a["records"]), Limits(attempts=1), Policy(mode="batch", waiting=Waiting(0.01)),
)
"""


def test_a_job_killed_while_it_collects_buys_nothing_again(
    write_outputs: Write, provider: Provider, tmp_path: Path
) -> None:
    files = write_outputs([("q", text) for text in "abcdef"])
    arguments = {
        "outputs": str(files[0]), "examples": str(files[1][0]), "prompt": PROMPT,
        "target": str(tmp_path / "raw.parquet"), "records": str(tmp_path / "records"),
        "spec": {"kind": "openai", "model": "judge", "base_url": provider.base_url},
    }  # fmt: skip
    job = subprocess.run(
        [sys.executable, "-c", KILLED, json.dumps(arguments)],
        env=os.environ | {"PYTHONPATH": str(ROOT / "scripts")}, check=False,
    )  # fmt: skip
    assert job.returncode == -signal.SIGKILL and provider.sent == [6]
    frame = query(files, provider, tmp_path)
    assert frame["error"].isna().all() and set(frame["via"]) == {"batch"}
    assert provider.sent == [6], "the rest was in the batch that had been paid for"


def test_only_what_no_batch_holds_is_sent(
    write_outputs: Write, provider: Provider, tmp_path: Path
) -> None:
    """Rows were added while a batch was on its way, and others are no longer needed."""
    provider.looks = 10**9
    with pytest.raises(InputError, match="start again later"):
        waiting = Waiting(poll_seconds=0.01, hours=0)
        query(write_outputs([("q", t) for t in "abc"]), provider, tmp_path, waiting=waiting)
    provider.looks = 1
    frame = query(write_outputs([("q", t) for t in "bcde"]), provider, tmp_path)
    assert frame["error"].isna().all() and provider.sent == [3, 2]
    frame = query(write_outputs([("q", t) for t in "abcde"]), provider, tmp_path)
    assert frame["error"].isna().all() and provider.sent == [3, 2], "a waits in the first batch"


def test_what_a_batch_refused_is_sent_again(
    write_outputs: Write, provider: Provider, tmp_path: Path
) -> None:
    files = write_outputs([("q", t) for t in "abc"])
    provider.refused = ("b",)
    assert query(files, provider, tmp_path)["error"].notna().tolist() == [False, True, False]
    provider.refused = ()
    assert query(files, provider, tmp_path)["error"].isna().all()
    assert provider.sent == [3, 1]


def test_a_stray_reply_of_another_model_in_a_batch_is_asked_for_again(
    write_outputs: Write, provider: Provider, tmp_path: Path
) -> None:
    files = write_outputs([("q", t) for t in "abc"])
    cheap = json.loads(completion("[[1]]")) | {"model": "cheap-model"}
    provider.refused, provider.refusal = ("b",), (200, cheap)
    with pytest.raises(InputError, match=r"but cheap-model answered: .*accept_models"):
        query(files, provider, tmp_path)
    provider.refused = ()
    assert set(query(files, provider, tmp_path)["model"]) == {"judge-2024"}
    assert provider.sent == [3, 1]


def test_a_batch_of_strays_alone_is_not_sent_again(
    write_outputs: Write, provider: Provider, tmp_path: Path
) -> None:
    files = write_outputs([("q", t) for t in "abc"])
    other = json.loads(completion("[[6]]")) | {"model": "openai/judge"}
    provider.refused, provider.refusal = tuple("abc"), (200, other)
    for _ in range(3):
        with pytest.raises(InputError, match=r"but openai/judge answered: .*accept_models"):
            query(files, provider, tmp_path)
    assert provider.sent == [3]


def test_answers_of_a_batch_that_expired_are_kept(
    write_outputs: Write, provider: Provider, tmp_path: Path
) -> None:
    files = write_outputs([("q", t) for t in "abcd"])
    provider.lost, provider.answered = "expired", 3
    frame = query(files, provider, tmp_path)
    assert frame["error"].str.startswith("batch_expired").sum() == 1
    provider.lost = None
    assert query(files, provider, tmp_path)["error"].isna().all()
    assert provider.sent == [4, 1]


def test_costs_and_budgets_count_each_reply_at_the_price_it_was_bought_at(
    write_outputs: Write, provider: Provider, endpoint: Any, tmp_path: Path
) -> None:
    price = {"prompt": 0.0, "completion": 1_000_000.0, "batch_discount": 0.5}
    query(write_outputs([("q", t) for t in "ab"]), provider, tmp_path, price=price)
    live = Provider(base_url=endpoint.base_url)
    spec = {"kind": "openai", "model": "judge", "base_url": live.base_url}
    files, target = write_outputs([("q", t) for t in "cde"]), tmp_path / "live.parquet"
    # Each reply has 5 completion tokens: two in a batch cost 5 dollars, a live one 5.
    limit = 5 + 512 + 5 + 5
    policy = Policy(price=price, max_budget=limit)
    with pytest.raises(InputError, match=r"\$15\.00 are spent"):
        query_judge(
            *files, target, "gpt-4", spec | {"max_tokens": 512}, PROMPT, tmp_path / "records",
            Limits(concurrency=1), Policy(price=price, max_budget=limit - 1),
        )  # fmt: skip
    query_judge(
        *files, target, "gpt-4", spec | {"max_tokens": 512}, PROMPT, tmp_path / "records",
        Limits(concurrency=1), policy,
    )  # fmt: skip
    stages = {"generations": [tmp_path / "raw.parquet"], "samples": [target]}
    tabulate_costs(stages, {"gpt-4": price}, tmp_path / "cost.csv")
    cost = read_table(tmp_path / "cost.csv", "judge_cost").set_index("stage")
    assert cost["n_batch_replies"].to_dict() == {"generations": 2, "samples": 0}
    assert cost["dollars"].to_dict() == {"generations": 5, "samples": 15}


def test_a_budget_holds_for_batches_too(
    write_outputs: Write, provider: Provider, tmp_path: Path
) -> None:
    files = write_outputs([("q", "a"), ("q", "b"), ("q", "c")])
    price = {"prompt": 0.0, "completion": 1_000_000 / 512, "batch_discount": 0.5}
    with pytest.raises(InputError, match="max_budget"):
        query(files, provider, tmp_path, price=price, max_budget=1.2)
    assert len(provider.files["file-0"].splitlines()) == 2, "a dollar each, half off"


def test_what_a_batch_has_cost_is_no_longer_reserved_for_the_next(
    write_outputs: Write, provider: Provider, tmp_path: Path
) -> None:
    """Another job lets go of a request while the first batch is on its way."""
    files = write_outputs([("q", "a"), ("q", "b")])
    spec = {"kind": "openai", "model": "judge", "base_url": provider.base_url}
    price = {"prompt": 0.0, "completion": 1_000_000 / 512}  # a dollar at most
    with Claims(tmp_path / "records" / "gpt-4" / "claims") as others:
        key = build_request(spec, PROMPT, "q", "b").key
        assert others.take(key)
        threading.Timer(0.5, others.release, (key,)).start()
        frame = query(files, provider, tmp_path, price=price, max_budget=1.5)
    assert frame["error"].isna().all() and provider.sent == [1, 1]


def test_canaries_of_a_batch_are_bought_live(
    write_outputs: Write, provider: Provider, endpoint: Any, tmp_path: Path
) -> None:
    """They cost the full price: five tokens each, and 512 at most."""
    price = {"prompt": 0.0, "completion": 1e6, "batch_discount": 0.5}
    canaries = [{"question": "Sky?", "answer": "Green."}]
    provider.live = endpoint.take
    files, limit = write_outputs([("q", "a")]), 2.5 + 512
    query(files, provider, tmp_path, price=price, canaries=canaries, max_budget=limit - 1)
    assert endpoint.bodies == []
    files = write_outputs([("q", "b")])
    query(files, provider, tmp_path, price=price, canaries=canaries, max_budget=limit + 2.5)
    assert len(endpoint.bodies) == 1
    files = write_outputs([("q", "c")])
    with pytest.raises(InputError, match=r"\$10\.00 are spent"):
        query(files, provider, tmp_path, price=price, canaries=canaries, max_budget=10 + 255)


def test_an_endpoint_without_batches_is_one_sentence(
    write_outputs: Write, endpoint: Any, tmp_path: Path
) -> None:
    provider = Provider(base_url=endpoint.base_url)
    with pytest.raises(InputError, match="set the judge's mode to live") as caught:
        query(write_outputs([("q", "a")]), provider, tmp_path)
    assert "\n" not in str(caught.value)
