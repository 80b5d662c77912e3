"""What the judges' client and records cost: ratios, seconds and memory within one run."""

import asyncio
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from helpers import ROOT
from reset_tuning.judging.client import Limits, ask_all
from reset_tuning.judging.records import Records
from reset_tuning.judging.replies import read_response
from reset_tuning.judging.requests import JudgeRequest
from reset_tuning.judging.server import Endpoint

LATENCY, IN_FLIGHT, REQUESTS, SEQUENTIAL = 0.3, 64, 512, 8
RECORDS = 200_000
TEXT = "A short explanation of one or two sentences, as the prompt asks for it. Rating: [[7]]"


def completion() -> bytes:
    message = {"role": "assistant", "content": TEXT}
    choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
    usage = {"prompt_tokens": 400, "completion_tokens": 30, "total_tokens": 430}
    return json.dumps({"model": "judge", "choices": choices, "usage": usage}).encode()


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer the requests of one connection, each after the latency."""
    body = completion()
    head = (
        f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    try:
        while header := await reader.readuntil(b"\r\n\r\n"):
            length = next(
                int(line.split(b":")[1])
                for line in header.lower().split(b"\r\n")
                if line.startswith(b"content-length")
            )
            await reader.readexactly(length)
            await asyncio.sleep(LATENCY)
            writer.write(head.encode() + body)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


@contextmanager
def slow_endpoint() -> Iterator[str]:
    """Serve completions on loopback from a thread with a loop of its own."""
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(asyncio.start_server(answer, "127.0.0.1", 0, backlog=256))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    loop.call_soon_threadsafe(loop.stop)
    thread.join()


def requests(count: int) -> list[JudgeRequest]:
    return [JudgeRequest("judge", "Judge.", f"answer {i}", 0.0, 512, "here") for i in range(count)]


def per_second(base_url: str, count: int, in_flight: int) -> float:
    started = time.perf_counter()
    replies = ask_all(
        requests(count), Endpoint(base_url, "none"), Limits(in_flight), lambda *_: None, total=count
    )
    assert all(reply.error is None for reply in replies.values())
    return count / (time.perf_counter() - started)


def test_many_requests_in_flight() -> None:
    with slow_endpoint() as base_url:
        one = per_second(base_url, SEQUENTIAL, 1)
        many = per_second(base_url, REQUESTS, IN_FLIGHT)
    print(
        f"\njudge at {LATENCY} s latency: {many:.0f} requests/s with {IN_FLIGHT} in flight, "
        f"{one:.1f} one by one: {many / one:.1f} x"
    )
    assert many >= 15 * one


def test_a_large_record_opens_fast_and_stays_small(tmp_path: Path) -> None:
    reply = read_response(completion().decode(), "judge")
    long = "word " * 300  # a prompt of about 1,500 characters, as real ones are
    with Records(tmp_path, "gpt-4") as records:
        stored = [
            JudgeRequest("judge", "Judge.", f"{long}{i}", 0.0, 512, "here") for i in range(10)
        ]
        lines = []
        for number in range(RECORDS):
            request = stored[number % len(stored)]
            key = f"{number:064x}"
            body = {"key": key, "usage": [400, 30], "endpoint": "here", "request": request.body()}
            lines.append(body | {"response": reply.response})
            if len(lines) == 10_000:
                records.append(lines)
                lines = []
    code = (
        "import resource, sys, time; from pathlib import Path\n"
        "from reset_tuning.judging.records import Records\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        f"keys = [f'{{i:064x}}' for i in range(0, {RECORDS}, {RECORDS} // 1000)]\n"
        "started = time.perf_counter(); records = Records(Path(sys.argv[1]), 'gpt-4', keys)\n"
        "records.refresh(); seconds = time.perf_counter() - started\n"
        "assert len(records.replies) == 1000 and records.usage.replies == int(sys.argv[2])\n"
        "started = time.perf_counter(); records.refresh(); again = time.perf_counter() - started\n"
        "grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before\n"
        "print(seconds, again, grown / 1024)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path), str(RECORDS)],
        capture_output=True, text=True, check=True, env={"PYTHONPATH": str(ROOT / "scripts")},
    )  # fmt: skip
    seconds, again, grown = map(float, done.stdout.split())
    size = sum(path.stat().st_size for path in tmp_path.rglob("*.jsonl")) / 2**20
    print(
        f"\n{RECORDS} replies ({size:.0f} MiB) open in {seconds:.2f} s, peak memory grows by "
        f"{grown:.0f} MiB, a second look costs {again * 1000:.1f} ms"
    )
    assert seconds < 3 and grown < 100
