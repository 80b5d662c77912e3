"""The batch API, against a real HTTP server that speaks it."""

import json
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from scripted import PROMPT, completion

from reset_tuning.errors import InputError
from reset_tuning.judging.batch import Waiting
from reset_tuning.judging.client import Limits
from reset_tuning.judging.query import Policy, query_judge
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
    refused: tuple[str, ...] = ()

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
            batch["output_file_id"] = f"{name}-output"
            self.files[f"{name}-output"] = "\n".join(self._answers(batch))
        return batch

    def _answers(self, batch: dict[str, Any]) -> Iterator[str]:
        for line in self.files[batch["input_file_id"]].splitlines()[::-1]:
            request = json.loads(line)
            text = request["body"]["messages"][1]["content"]
            if self.lost:
                continue
            status = 400 if any(text.endswith(word) for word in self.refused) else 200
            body = {"error": "no"} if status == 400 else json.loads(completion(f"{text} [[6]]"))
            response = {"status_code": status, "request_id": "r", "body": body}
            yield json.dumps({"custom_id": request["custom_id"], "response": response})


@pytest.fixture
def provider() -> Iterator[Provider]:
    state = Provider()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            is_file = self.path.endswith("/files")
            self.send(state.upload(body) if is_file else state.create(json.loads(body)))

        def do_GET(self) -> None:
            *_, kind, name = self.path.split("?")[0].split("/")
            if name == "batches":
                data = list(state.batches.values())
                self.send({"object": "list", "data": data, "has_more": False})
            elif name == "content":
                self.send(state.files[kind])
            else:
                self.send(state.look(name))

        def send(self, content: Any) -> None:
            body = (content if isinstance(content, str) else json.dumps(content)).encode()
            self.send_response(200)
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


def test_a_budget_holds_for_batches_too(
    write_outputs: Write, provider: Provider, tmp_path: Path
) -> None:
    files = write_outputs([("q", "a"), ("q", "b"), ("q", "c")])
    price = {"prompt": 0.0, "completion": 1_000_000 / 512, "batch_discount": 0.5}
    with pytest.raises(InputError, match="max_budget"):
        query(files, provider, tmp_path, price=price, max_budget=1.2)
    assert len(provider.files["file-0"].splitlines()) == 2, "a dollar each, half off"


def test_an_endpoint_without_batches_is_one_sentence(
    write_outputs: Write, endpoint: Any, tmp_path: Path
) -> None:
    provider = Provider(base_url=endpoint.base_url)
    with pytest.raises(InputError, match="set the judge's mode to live") as caught:
        query(write_outputs([("q", "a")]), provider, tmp_path)
    assert "\n" not in str(caught.value)
