"""What is asked of a judge: one request per distinct question and answer."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from reset_tuning.errors import InputError
from reset_tuning.judging.replies import JudgeReply, read_response
from reset_tuning.judging.server import endpoint_name

_BYTES_PER_TOKEN = 3
_FRAME_TOKENS = 16


@dataclass(frozen=True)
class JudgeRequest:
    """One chat completion; equal requests have equal keys, whatever rows they come from.

    `endpoint` names who is asked: another server may serve another model under the same name.
    """

    model: str
    system: str
    user: str
    temperature: float
    max_tokens: int
    endpoint: str

    def body(self) -> dict[str, Any]:
        """Return the arguments of the chat completion."""
        return {
            "model": self.model,
            "messages": [
                {"role": "system", "content": self.system},
                {"role": "user", "content": self.user},
            ],
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
        }

    async def send(self, client: Any) -> Any:
        """Send the request through an asynchronous OpenAI client; return the raw response."""
        return await client.chat.completions.with_raw_response.create(**self.body())

    def read(self, text: str) -> JudgeReply:
        """Read the body of a response; raise InvalidReply when it is no completion."""
        return read_response(text, self.model)

    @cached_property
    def key(self) -> str:
        """SHA-256 of endpoint, model, messages and parameters: where the records hold the reply."""
        content = self.body() | {"endpoint": self.endpoint}
        text = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def prompt_tokens(self) -> int:
        """An estimate from above for English text: three bytes a token, and the chat's frame."""
        return -(-len((self.system + self.user).encode()) // _BYTES_PER_TOKEN) + _FRAME_TOKENS


def build_request(
    spec: Mapping[str, Any], prompt: Mapping[str, str], question: str, answer: str
) -> JudgeRequest:
    """Fill the judge's prompt with a raw instruction and an answer.

    Raises InputError when the prompt has other fields than {question} and {answer}.
    """
    try:
        user = prompt["user"].format(question=question, answer=answer)
    except (KeyError, IndexError, ValueError) as error:
        raise InputError(
            f"the judge's prompt {spec.get('prompt', '')} has a field other than {{question}} and "
            f"{{answer}} ({error}); write literal braces twice"
        ) from error
    return JudgeRequest(
        model=spec["model"],
        system=prompt["system"],
        user=user,
        temperature=float(spec.get("temperature", 0)),
        max_tokens=int(spec.get("max_tokens", 512)),
        endpoint=endpoint_name(spec),
    )


def in_parts(requests: Sequence[JudgeRequest], size: int) -> Iterator[Sequence[JudgeRequest]]:
    """Yield the requests in parts of at most `size`."""
    for start in range(0, len(requests), size):
        yield requests[start : start + size]
