"""Other engines for the tests, answered by the transformers backend: vLLM's API and a server."""

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import ModuleType, SimpleNamespace
from typing import Any

from reset_tuning.sampling.backend import Completion, Request, Setting
from reset_tuning.sampling.transformers_backend import TransformersBackend, _Decoding


def answer(backend: TransformersBackend, request: Request) -> list[Completion]:
    """Return the completions of one request."""
    ((_, completions),) = next(backend.generate([request]))
    return list(completions)


@dataclass
class SamplingParams:
    """The fields of vLLM's class that a caller may set, with its defaults and its own checks."""

    n: int = 1
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    seed: int | None = None
    stop_token_ids: list[int] | None = None
    max_tokens: int = 16
    detokenize: bool = True

    def __post_init__(self) -> None:
        if 0 < self.temperature < 0.01:
            self.temperature = 0.01
        if self.temperature == 0:
            self.top_p, self.top_k = 1.0, 0


def fake_vllm(backend: TransformersBackend, calls: list[Any], **faults: Any) -> ModuleType:
    """Return a module `vllm` whose engine notes what it is given and answers by `backend`."""

    class LLM:
        def __init__(self, **arguments: Any) -> None:
            if "load" in faults:
                raise ValueError(faults["load"])
            calls.append(arguments)

        def generate(
            self, prompts: Sequence[dict], params: Sequence[SamplingParams], use_tqdm: bool
        ) -> list[SimpleNamespace]:
            assert len(prompts) == len(params) and not use_tqdm
            calls.append(list(zip(prompts, params, strict=True)))
            outputs = [_output(backend, *pair) for pair in zip(prompts, params, strict=True)]
            return outputs[1:] + outputs[:1] if faults.get("shifted") else outputs

    module = ModuleType("vllm")
    module.LLM, module.SamplingParams = LLM, SamplingParams
    return module


def _output(backend: TransformersBackend, prompt: dict, params: SamplingParams) -> SimpleNamespace:
    ids = prompt["prompt_token_ids"]
    setting = Setting(params.temperature, params.top_k, params.seed or 0)
    request = Request(tuple(ids), (setting,), params.max_tokens)
    tokens, ended = _Decoding(backend._model, backend._ends, [request]).run()
    written = tokens[0][0] + ([int(backend._ends[0])] if ended[0][0] else [])
    reason = "stop" if ended[0][0] else "length"
    output = SimpleNamespace(token_ids=written, finish_reason=reason)
    return SimpleNamespace(prompt_token_ids=list(ids), outputs=[output])


@dataclass
class CompletionsServer:
    """An OpenAI-compatible completions server on loopback, and what was asked of it."""

    backend: TransformersBackend
    models: list[str]
    ignored: tuple[str, ...] = ()  # parameters that it does not obey
    statuses: list[int] = field(default_factory=list)  # of the next answers; then 200
    banned: list[int] = field(default_factory=list)  # a prompt that its content filter refuses,
    refusal: int = 400  # with this status
    bodies: list[dict[str, Any]] = field(default_factory=list)
    lock: Any = field(default_factory=threading.Lock)

    def complete(self, body: dict[str, Any]) -> dict[str, Any]:
        """Answer one completion request."""
        prompt = body["prompt"]
        if isinstance(prompt, str):  # a server that reads text puts BOS in front of it
            tokenizer = self.backend._tokenizer
            ids = tokenizer(prompt, add_special_tokens=False)["input_ids"]
            prompt = [tokenizer.bos_token_id, *ids]
        wanted = {key: value for key, value in body.items() if key not in self.ignored}
        temperature = wanted.get("temperature", 0.0)
        setting = Setting(temperature, wanted.get("top_k", 0), wanted.get("seed", 0))
        request = Request(tuple(prompt), (setting,), body["max_tokens"])
        with self.lock:
            (completion,) = answer(self.backend, request)
        choice = {"index": 0, "text": completion.output, "finish_reason": completion.finish_reason}
        return {"id": "x", "object": "text_completion", "model": body["model"], "choices": [choice]}


def _handler(server: CompletionsServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            models = [{"id": name, "object": "model"} for name in server.models]
            self._send(200, {"object": "list", "data": models})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with server.lock:
                server.bodies.append(body)
                status = server.statuses.pop(0) if server.statuses else 200
            is_banned = body["prompt"] == server.banned
            if is_banned and server.refusal == 400:
                self._send(400, {"error": {"message": "filtered", "code": "content_filter"}})
            elif is_banned:
                reply = server.complete(body)
                reply["choices"][0] |= {"text": "I ca", "finish_reason": "content_filter"}
                self._send(200, reply)
            elif status == 200:
                self._send(200, server.complete(body))
            else:
                self._send(status, {"error": {"message": "not now", "type": "server_error"}})

        def _send(self, status: int, body: dict[str, Any]) -> None:
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    return Handler


@contextmanager
def serving(server: CompletionsServer) -> Iterator[str]:
    """Serve on a free port and yield the base URL."""
    http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(server))
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{http.server_port}/v1"
    finally:
        http.shutdown()
        thread.join()
        http.server_close()
