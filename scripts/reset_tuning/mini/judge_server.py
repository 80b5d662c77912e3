"""The rule-based judge behind a real OpenAI-compatible HTTP endpoint on loopback.

`running_judge_server()` serves it inside a process; for people:
`python -m reset_tuning.mini.judge_server --port 8123`.
"""

import argparse
import json
import logging
import re
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from reset_tuning.mini.judge import MODELS, STRICT_MODEL, rate
from reset_tuning.mini.words import split_words

_LOG = logging.getLogger(__name__)
LOOPBACK = "127.0.0.1"
_MAX_BODY_BYTES = 4 * 1024 * 1024
_CHAT_PATH = "/v1/chat/completions"
_MODELS_PATH = "/v1/models"
_JUDGE_PROMPT = re.compile(
    r"\[Question\]\n(?P<question>.*?)\n+\[The Start of Assistant's Answer\]\n"
    r"(?:Answer: ?)?(?P<answer>.*)\n?\[The End of Assistant's Answer\]",
    re.DOTALL,
)


class RequestError(ValueError):
    """A request that the endpoint refuses, with its HTTP status and OpenAI's error fields."""

    def __init__(
        self, status: HTTPStatus, message: str, param: str | None = None, code: str | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.param = param
        self.code = code


def complete(request: Any) -> dict[str, Any]:
    """Answer the decoded body of a chat completion request; raise RequestError if it is bad."""
    model, messages = _checked(request)
    text = "\n".join(_content(message) for message in messages)
    match = _JUDGE_PROMPT.search(text)
    if match is None:
        raise RequestError(
            HTTPStatus.BAD_REQUEST,
            "The messages hold no [Question] with an [The Start of Assistant's Answer] block.",
            param="messages",
        )
    rating = rate(match["question"].strip(), match["answer"].strip(), model == STRICT_MODEL)
    return _completion(model, text, rating.reply)


def _checked(request: Any) -> tuple[str, Sequence[Mapping[str, Any]]]:
    """Return the model and messages of a request."""
    if not isinstance(request, dict):
        raise RequestError(HTTPStatus.BAD_REQUEST, "The request body is not a JSON object.")
    model, messages = request.get("model"), request.get("messages")
    if model not in MODELS:
        raise RequestError(
            HTTPStatus.NOT_FOUND,
            f"The model `{model}` does not exist; this endpoint serves {', '.join(MODELS)}.",
            param="model",
            code="model_not_found",
        )
    if not isinstance(messages, list) or not messages:
        raise RequestError(
            HTTPStatus.BAD_REQUEST, "`messages` must be a list of messages.", param="messages"
        )
    if request.get("stream"):
        raise RequestError(HTTPStatus.BAD_REQUEST, "Streaming is not offered.", param="stream")
    return model, messages


def _content(message: Any) -> str:
    """Return a message's text: a string, or the text parts of a list of parts."""
    content = message.get("content") if isinstance(message, dict) else None
    if isinstance(content, str):
        return content
    if isinstance(content, list) and all(isinstance(part, dict) for part in content):
        return "".join(part.get("text", "") for part in content)
    raise RequestError(
        HTTPStatus.BAD_REQUEST, "Every message needs a text `content`.", param="messages"
    )


def _completion(model: str, prompt: str, reply: str) -> dict[str, Any]:
    """Return a chat completion object; usage counts words and punctuation marks."""
    n_prompt, n_reply = len(split_words(prompt)), len(split_words(reply))
    return {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": reply},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": n_prompt,
            "completion_tokens": n_reply,
            "total_tokens": n_prompt + n_reply,
        },
    }


def _model_list() -> dict[str, Any]:
    """Return the list of the models served."""
    models = [
        {"id": model, "object": "model", "created": 0, "owned_by": "reset-tuning"}
        for model in MODELS
    ]
    return {"object": "list", "data": models}


class _Handler(BaseHTTPRequestHandler):
    """Keeps connections open (HTTP/1.1) and answers with JSON, errors included."""

    protocol_version = "HTTP/1.1"
    # Head and body leave in two writes; without this the second would wait for an acknowledgement.
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        """List the models."""
        if self.path.rstrip("/") == _MODELS_PATH:
            self._send(HTTPStatus.OK, _model_list())
        else:
            self._refuse(RequestError(HTTPStatus.NOT_FOUND, f"Unknown request URL: {self.path}"))

    def do_POST(self) -> None:
        """Answer a chat completion request."""
        try:
            request = self._body()
            if self.path.rstrip("/") != _CHAT_PATH:
                raise RequestError(HTTPStatus.NOT_FOUND, f"Unknown request URL: {self.path}")
            self._send(HTTPStatus.OK, complete(request))
        except RequestError as error:
            self._refuse(error)

    def log_message(self, format: str, *args: Any) -> None:
        """Send the access log where all other logs go."""
        _LOG.debug("judge server: %s", format % args)

    def _body(self) -> Any:
        """Read and decode the request's body."""
        length = self.headers.get("Content-Length", "")
        if not length.isdigit() or int(length) > _MAX_BODY_BYTES:
            self.close_connection = True  # the unread body would be taken for the next request
            raise RequestError(
                HTTPStatus.BAD_REQUEST, f"A body of at most {_MAX_BODY_BYTES} bytes is needed."
            )
        try:
            return json.loads(self.rfile.read(int(length)))
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise RequestError(
                HTTPStatus.BAD_REQUEST, f"The request body is not valid JSON: {error}."
            ) from error

    def _refuse(self, error: RequestError) -> None:
        """Answer with an error object in OpenAI's form."""
        fields = {
            "message": str(error),
            "type": "invalid_request_error",
            "param": error.param,
            "code": error.code,
        }
        self._send(error.status, {"error": fields})

    def _send(self, status: HTTPStatus, content: Mapping[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class _Server(ThreadingHTTPServer):
    """A server whose threads do not keep the process alive and that takes bursts of clients."""

    daemon_threads = True
    request_queue_size = 128


@contextmanager
def running_judge_server(port: int = 0) -> Iterator[str]:
    """Serve the judge from a thread while the block runs; yield the base URL (`…/v1`).

    Port 0 takes a free port.
    """
    with _Server((LOOPBACK, port), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever, name="judge-server", daemon=True)
        thread.start()
        try:
            yield f"http://{LOOPBACK}:{server.server_address[1]}/v1"
        finally:
            server.shutdown()
            thread.join()


def main() -> None:
    """Serve the judge until interrupted."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free port")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    with running_judge_server(arguments.port) as base_url:
        _LOG.info("the judge answers at %s; stop with Ctrl-C", base_url)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            _LOG.info("stopped")


if __name__ == "__main__":
    main()
