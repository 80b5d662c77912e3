"""An OpenAI-compatible endpoint that misbehaves as it is told to."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PROMPT = {"system": "Judge.", "user": "[Question]\n{question}\nAnswer: {answer}"}


def completion(content: str | None = "Fine. Rating: [[7]]", finish: str = "stop") -> str:
    """Return the JSON text of a chat completion."""
    choice = {"index": 0, "message": {"role": "assistant", "content": content}}
    usage = {"prompt_tokens": 11, "completion_tokens": 5, "total_tokens": 16}
    body = {"id": "x", "object": "chat.completion", "created": 0, "model": "judge-2024"}
    return json.dumps(body | {"choices": [choice | {"finish_reason": finish}], "usage": usage})


@dataclass(frozen=True)
class Answer:
    """One HTTP answer; status 0 drops the connection."""

    status: int = 200
    body: str = field(default_factory=completion)
    headers: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    drips: bool = False  # the body is preceded by a space every 0.1 seconds, for 5 seconds


@dataclass
class Endpoint:
    """A server whose answers a test sets: `script` in order, then `default` for ever."""

    base_url: str = ""
    script: list[Answer] = field(default_factory=list)
    default: Answer = field(default_factory=Answer)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    in_flight: int = 0
    most_in_flight: int = 0
    lock: Any = field(default_factory=threading.Lock)

    def take(self, body: dict[str, Any]) -> Answer:
        """Note a request and return what to answer."""
        with self.lock:
            self.bodies.append(body)
            self.in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self.in_flight)
            return self.script.pop(0) if self.script else self.default


def _handler(endpoint: Endpoint) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            answer = endpoint.take(json.loads(self.rfile.read(length)))
            time.sleep(answer.seconds)
            with endpoint.lock:
                endpoint.in_flight -= 1
            if answer.status == 0:
                self.close_connection = True
                return
            self.close_connection |= answer.drips
            body = answer.body.encode()
            length = len(body) + 50 * answer.drips
            self.send_response(answer.status)
            kind = "text/html" if answer.body.startswith("<") else "application/json"
            headers = {"Content-Type": kind, "Content-Length": str(length)} | answer.headers
            for name, value in headers.items():
                self.send_header(name, value)
            with suppress(OSError):  # the client may have given up
                self.end_headers()
                for _ in range(50 if answer.drips else 0):
                    self.wfile.write(b" ")
                    time.sleep(0.1)
                self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    return Handler


@contextmanager
def scripted_endpoint(port: int = 0) -> Iterator[Endpoint]:
    """Serve scripted answers on loopback."""
    state = Endpoint()
    with ThreadingHTTPServer(("127.0.0.1", port), _handler(state)) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        state.base_url = f"http://127.0.0.1:{server.server_address[1]}/v1"
        yield state
        server.shutdown()
