"""Strict reading of what an endpoint sent back: a reply, a refusal, or nothing usable."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

CONTENT_FILTER = "content_filter"
EMPTY_OUTPUT = "empty_output"
INVALID_REPLY = "invalid_reply"  # the kind of an InvalidReply that stayed
LIVE, BATCH = "live", "batch"
_DATE = re.compile(r"-(\d{4}|\d{4}-\d{2}-\d{2})")  # of a snapshot: gpt-4-0613, gpt-4o-2024-08-06


class InvalidReply(ValueError):
    """The endpoint answered with success, but not with a chat completion.

    `tokens` of prompt and completion are what it says that this cost all the same.
    """

    def __init__(self, message: str, tokens: tuple[int, int] = (0, 0)) -> None:
        super().__init__(message)
        self.tokens = tokens


@dataclass(frozen=True)
class JudgeReply:
    """What one request came to.

    `reply` is the judge's text, verbatim; it is None with a finish reason for a refusal, and None
    with an `error` ("type: detail") when no reply came. The tokens are those of all that was paid
    for the request, unusable replies included. `response` is the raw JSON text; `model`
    and `fingerprint` are what the endpoint says that it ran. `via` is how it was bought: LIVE, or
    through the provider's BATCH API, whose price is another.
    """

    model: str
    reply: str | None = None
    finish_reason: str | None = None
    error: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    fingerprint: str | None = None
    response: str | None = None
    via: str = LIVE

    def plus(self, tokens: tuple[int, int]) -> "JudgeReply":
        """Return this with the tokens of unusable replies to the same request added."""
        if not any(tokens):
            return self
        return replace(
            self,
            prompt_tokens=(self.prompt_tokens or 0) + tokens[0],
            completion_tokens=(self.completion_tokens or 0) + tokens[1],
        )

    @property
    def tokens(self) -> tuple[int, int]:
        """Tokens of prompt and completion; none where the endpoint reports no usage."""
        return self.prompt_tokens or 0, self.completion_tokens or 0

    @property
    def kind(self) -> str | None:
        """The type of the error."""
        return self.error.split(":")[0] if self.error else None

    @property
    def was_sent(self) -> bool:
        """Whether the endpoint was asked at all."""
        return self.error != _unsent(self.kind)


def unsent(model: str, kind: str) -> JudgeReply:
    """Return what a request comes to that was not sent, as others had failed with this `kind`."""
    return JudgeReply(model, error=_unsent(kind))


def _unsent(kind: str | None) -> str:
    return f"{kind}: not sent, as others failed"


def read_response(text: str, requested_model: str) -> JudgeReply:
    """Read the body of a successful HTTP response; raise InvalidReply when it is no completion.

    Endpoints and their proxies are known to answer 200 with an HTML page, with truncated JSON, and
    with JSON that has no choices or no text.
    """
    body = json_object(text)
    tokens = _count(body, "prompt_tokens") or 0, _count(body, "completion_tokens") or 0
    choices = body.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise InvalidReply(f"the reply has no choices: {_start(text)}", tokens)
    message = choices[0].get("message")
    if not isinstance(message, dict):
        raise InvalidReply(f"the reply has no message: {_start(text)}", tokens)
    finish_reason = choices[0].get("finish_reason")
    content = _text(message.get("content"))
    if not (content and content.strip()):
        content = None
        if finish_reason != CONTENT_FILTER and not message.get("refusal"):
            raise InvalidReply(f"the reply has no text: {_start(text)}", tokens)
    return JudgeReply(
        model=_text(body.get("model")) or requested_model,
        reply=content,
        finish_reason=_text(finish_reason),
        prompt_tokens=_count(body, "prompt_tokens"),
        completion_tokens=_count(body, "completion_tokens"),
        fingerprint=_text(body.get("system_fingerprint")),
        response=text,
    )


def json_object(text: str) -> dict[str, Any]:
    """Return the JSON object of a response's body; raise InvalidReply for anything else."""
    try:
        body = json.loads(text)
    except (ValueError, RecursionError) as error:  # the latter of thousands of brackets
        raise InvalidReply(f"the reply is not JSON ({error}): {_start(text)}") from error
    if not isinstance(body, dict):
        raise InvalidReply(f"the reply is not a JSON object: {_start(text)}")
    return body


def _text(value: Any) -> str | None:
    """Return a string that every table can hold; a lone surrogate in JSON is not valid UTF-8."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else None


def _count(body: dict[str, Any], name: str) -> int | None:
    usage = body.get("usage")
    value = usage.get(name) if isinstance(usage, dict) else None
    return value if isinstance(value, int) else None


def _start(text: str) -> str:
    return repr(text[:120])


def is_asked_for(model: str, spec: Mapping[str, Any]) -> bool:
    """Tell whether a reported model is the asked one, or a dated snapshot of it."""
    asked = [spec["model"], *spec.get("accept_models", ())]
    return any(
        model == name or (model.startswith(name) and _DATE.fullmatch(model, len(name)))
        for name in asked
    )
