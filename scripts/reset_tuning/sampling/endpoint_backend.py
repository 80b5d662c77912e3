"""Generation by a server that already has the model: any OpenAI-compatible completions endpoint.

Requests, retries and rates are those of the judges' client. The prompt goes as token ids, so that
the server reads what the model was trained on (BOS included), or as text for servers that take no
ids. A server's reply does not say which parameters it used, so before the first sample it is tried
whether it obeys them; one that ignores top-k or the temperature is refused.
"""

import hashlib
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from reset_tuning.errors import InputError
from reset_tuning.judging.client import Limits, ask_all, make_client
from reset_tuning.judging.local_server import running_server
from reset_tuning.judging.replies import InvalidReply, JudgeReply, json_object
from reset_tuning.judging.server import NO_KEY, Endpoint, read_key
from reset_tuning.sampling.backend import (
    CONTENT_FILTER,
    LENGTH,
    STOP,
    Completed,
    Completion,
    Request,
    Setting,
)

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase as Tokenizer

    from reset_tuning.sampling.engines import Means

NO_VARIABLE = "none"
_ROUNDS_AT_ONCE = 8  # requests sent before what came back is stored, for each one in flight
_TRIAL_TOKENS = 16
_HOT = 2.0  # a temperature at which a model hardly ever writes its greedy answer
_HOT_SEEDS = (1, 2, 3, 4)


@dataclass(frozen=True)
class CompletionRequest:
    """One completion, as the judges' client sends it."""

    model: str
    prompt: str | tuple[int, ...]
    setting: Setting
    max_tokens: int
    prompt_tokens: int
    number: int = 0  # tells equal requests apart

    def body(self) -> dict[str, Any]:
        """Return the arguments of the completion, with nothing left to the server's defaults."""
        prompt = self.prompt if isinstance(self.prompt, str) else list(self.prompt)
        body = {
            "model": self.model,
            "prompt": prompt,
            "temperature": self.setting.temperature,
            "max_tokens": self.max_tokens,
            "top_p": 1.0,
            "n": 1,
        }
        if self.setting.temperature > 0:
            # Not in OpenAI's own interface; 0 is off where many servers' default is not.
            body |= {"seed": self.setting.seed, "extra_body": {"top_k": self.setting.top_k}}
        return body

    @cached_property
    def key(self) -> str:
        """A digest of the request."""
        text = json.dumps([self.body(), self.number], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    async def send(self, client: Any) -> Any:
        """Send the request and return the raw response."""
        return await client.completions.with_raw_response.create(**self.body())

    def read(self, text: str) -> JudgeReply:
        """Read the body of a response; raise InvalidReply when it is no completion."""
        body = json_object(text)
        choices = body.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices else None
        named = body.get("model") or self.model
        reason = choice.get("finish_reason") if isinstance(choice, dict) else None
        if reason == CONTENT_FILTER:  # what it left of the text is no answer
            return JudgeReply(named, finish_reason=reason)
        if not isinstance(choice, dict) or not isinstance(choice.get("text"), str):
            raise InvalidReply(f"the reply has no choices with a text: {text[:120]!r}")
        if reason not in (STOP, LENGTH):
            raise InvalidReply(f"the reply ended by {reason!r}, neither stop nor length")
        # JSON may hold a lone surrogate, which no table can.
        output = choice["text"].encode("utf-8", "replace").decode()
        return JudgeReply(named, reply=output, finish_reason=reason)


class EndpointBackend:
    """Decodes requests by asking a server."""

    def __init__(
        self,
        endpoint: Endpoint,
        model: str,
        tokenizer: "Tokenizer",
        limits: Limits,
        sends_text: bool = False,
    ) -> None:
        self._endpoint, self._model, self._limits = endpoint, model, limits
        self._tokenizer, self._sends_text = tokenizer, sends_text
        self._was_tried = False

    def generate(self, requests: Sequence[Request]) -> Iterator[list[Completed]]:
        """Yield completions, some requests at a time; raise InputError when some got none.

        All that came is yielded first, also single draws of a request.
        """
        self._try_parameters(requests)
        start = 0
        while start < len(requests):
            stop, n_asked = start, 0
            while stop < len(requests) and n_asked < _ROUNDS_AT_ONCE * self._limits.concurrency:
                n_asked += len(requests[stop].settings)
                stop += 1
            yield from self._complete(range(start, stop), requests)
            start = stop

    def _complete(self, indices: range, requests: Sequence[Request]) -> Iterator[list[Completed]]:
        asked = {
            index: [self._request(requests[index], s) for s in requests[index].settings]
            for index in indices
        }
        replies = self._ask([request for some in asked.values() for request in some])
        done, errors = [], []
        for index, some in asked.items():
            found = [replies[request.key] for request in some]
            errors += [reply.error for reply in found if reply.error]
            if not all(reply.error for reply in found):
                done.append((index, tuple(map(self._completion, some, found))))
        yield done
        if errors:
            raise InputError(
                f"{len(errors)} of {len(replies)} requests to the generating endpoint "
                f"{self._endpoint.base_url} got no output (the first: {errors[0]}): mend it and "
                "start again; every output that came is kept"
            )

    def _request(self, request: Request, setting: Setting, number: int = 0) -> CompletionRequest:
        prompt = request.text if self._sends_text else request.prompt_ids
        n_tokens = len(request.prompt_ids)
        limit = request.max_new_tokens
        return CompletionRequest(self._model, prompt, setting, limit, n_tokens, number)

    def _ask(self, requests: Sequence[CompletionRequest]) -> dict[str, JudgeReply]:
        return ask_all(
            requests,
            self._endpoint,
            self._limits,
            self._check_model,
            total=len(requests),
            done="generated",
        )

    def _check_model(self, request: CompletionRequest, reply: JudgeReply) -> None:
        """Raise InputError when another model answered than the one that was asked."""
        if reply.model != request.model:
            raise InputError(
                f"the generating endpoint {self._endpoint.base_url} answered as {reply.model}, not "
                f"{request.model}: serve the checkpoint under that name and start again"
            )

    def _completion(self, request: CompletionRequest, reply: JudgeReply) -> Completion | None:
        if reply.error:
            return None
        text = (reply.reply or "").strip()
        n_tokens = len(self._tokenizer(text, add_special_tokens=False)["input_ids"])
        setting = request.setting
        top_k = setting.top_k if setting.temperature > 0 else 0
        return Completion(text, n_tokens, str(reply.finish_reason), setting.temperature, top_k)

    def _try_parameters(self, requests: Sequence[Request]) -> None:
        """Try once whether the server obeys top-k, temperature and seed.

        This is done on the first prompt that no content filter withholds.
        """
        sampled = [s for request in requests for s in request.settings if s.temperature > 0]
        if self._was_tried or not sampled:
            return
        texts = next((found for found in map(self._trial, requests) if found), None)
        if texts is None:
            return
        self._was_tried = True
        if any(setting.top_k for setting in sampled) and texts["one"] != texts["greedy"]:
            raise InputError(
                f"the generating endpoint {self._endpoint.base_url} ignores top_k: with top-k 1 it "
                "must repeat its greedy answer; use a server that takes top_k, as vLLM's does"
            )
        if all(texts[seed] == texts["greedy"] for seed in _HOT_SEEDS):
            raise InputError(
                f"the generating endpoint {self._endpoint.base_url} ignores the temperature: at "
                f"{_HOT} it repeats its greedy answer under {len(_HOT_SEEDS)} seeds"
            )
        if texts["again"] != texts[1]:
            logging.warning("the endpoint does not repeat a seed: samples cannot be drawn again")

    def _trial(self, request: Request) -> dict[str | int, str | None] | None:
        """Return what the server says of one prompt under other settings; None if filtered."""
        limit = min(request.max_new_tokens, _TRIAL_TOKENS)
        trial = Request(request.prompt_ids, (), limit, request.text)
        greedy, one, hot = Setting(0.0, 0, 0), Setting(_HOT, 1, 1), Setting(_HOT, 0, 1)
        asked: dict[str | int, CompletionRequest] = {
            "greedy": self._request(trial, greedy),
            "one": self._request(trial, one),
            "again": self._request(trial, hot, number=1),
        }
        asked |= {seed: self._request(trial, Setting(_HOT, 0, seed)) for seed in _HOT_SEEDS}
        replies = self._ask(list(asked.values()))
        said = {name: replies[request.key] for name, request in asked.items()}
        for reply in said.values():
            if reply.error:
                raise InputError(
                    f"the generating endpoint {self._endpoint.base_url} does not take a request "
                    f"with temperature, seed and top_k: {reply.error}"
                )
        if any(reply.finish_reason == CONTENT_FILTER for reply in said.values()):
            return None
        return {name: reply.reply for name, reply in said.items()}


@contextmanager
def endpoint_backend(
    settings: Mapping[str, Any], model_path: str, name: str, tokenizer: "Tokenizer", means: "Means"
) -> Iterator[EndpointBackend]:
    """Yield the backend of `generation.endpoint`, with a server of its own if it has a command.

    `name` is that of the checkpoint at the server. Raises InputError when the environment lacks the
    key, the server does not start, or it does not serve that checkpoint.
    """
    limits = Limits(concurrency=means.concurrency)
    sends_text = settings.get("prompt_as") == "text"
    if "base_url" in settings:
        variable = means.api_key_variable
        key = NO_KEY if variable == NO_VARIABLE else read_key(variable, "generation.endpoint")
        endpoint = Endpoint(settings["base_url"], key)
        check_served(endpoint, name, limits)
        yield EndpointBackend(endpoint, name, tokenizer, limits, sends_text)
    else:
        server = {"command": settings["command"], "ready_minutes": means.ready_minutes}
        with running_server(server, model_path, "generation.endpoint") as base_url:
            endpoint = Endpoint(base_url, NO_KEY)
            check_served(endpoint, name, limits)
            yield EndpointBackend(endpoint, name, tokenizer, limits, sends_text)


def check_served(endpoint: Endpoint, name: str, limits: Limits) -> None:
    """Raise InputError unless a server lists a model of this name.

    Some servers answer every name with the one model that they have: then all checkpoints would get
    the outputs of one.
    """
    import openai

    client = make_client(endpoint, limits, openai.OpenAI, openai.DefaultHttpxClient)
    try:
        with client:
            served = [model.id for model in client.models.list()]
    except openai.OpenAIError as error:
        reason = endpoint.hide_key(str(error))
        raise InputError(
            f"the generating endpoint {endpoint.base_url} does not list its models: {reason}"
        ) from error
    if name not in served:
        raise InputError(
            f"the generating endpoint {endpoint.base_url} serves {', '.join(served) or 'nothing'}, "
            f"not {name}: serve the checkpoint under that name or set generation.endpoint.model"
        )
