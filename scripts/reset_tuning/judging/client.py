"""The client of LLM judges: bounded concurrency, rates and retries, and no lost run."""

import asyncio
import logging
import math
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import openai

from reset_tuning.errors import InputError
from reset_tuning.judging.pacing import Pace
from reset_tuning.judging.prices import Budget, Price, Usage
from reset_tuning.judging.replies import (
    CONTENT_FILTER,
    INVALID_REPLY,
    InvalidReply,
    JudgeReply,
    unsent,
)
from reset_tuning.judging.requests import JudgeRequest
from reset_tuning.judging.server import Endpoint
from reset_tuning.scoring.progress import Progress

AUTHENTICATION = "authentication"
QUOTA = "insufficient_quota"
BUDGET = "budget"
WRONG_MODEL = "wrong_model"
NO_MODEL = "model_not_found"
# How OpenAI, vLLM and Azure name a model that is not (or no longer) there.
_GONE = ("model_not_found", "model_deprecated", "NotFoundError", "DeploymentNotFound")
_OF_A_MODEL = re.compile(r"\b(model|deployment)\b", re.IGNORECASE)
# The endpoint is there and has read the request, which it will never take.
OF_THE_REQUEST = ("http_400", "http_413", "http_422")
_TRANSIENT = ("rate_limit", "timeout", "connection", "server_error", "conflict")
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
DETAIL_LENGTH = 300

OnReply = Callable[[JudgeRequest, JudgeReply], None]
IsExpected = Callable[[JudgeReply], bool]


@dataclass(frozen=True)
class Limits:
    """How hard an endpoint is pressed; none of this changes what it replies."""

    concurrency: int = 8
    attempts: int = 8  # with the pauses below about a minute, the period of most rate limits
    invalid_attempts: int = 3  # an unusable reply may have been paid for
    timeout_seconds: float = 120.0  # of one attempt as a whole, from sending to the last byte
    first_pause_seconds: float = 0.5
    longest_pause_seconds: float = 60.0
    longest_asked_seconds: float = 600.0  # of a pause that the endpoint asks for
    give_up_after: int = 16  # requests in a row that came to nothing: then no more are sent
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None  # of prompts and of the longest replies they may get


@dataclass(frozen=True)
class Failure:
    """Why one attempt failed, and what the endpoint says about waiting."""

    kind: str
    detail: str
    retry_after: float | None = None
    tokens: tuple[int, int] = (0, 0)  # of prompt and completion, paid for all the same


@dataclass
class _Job:
    """What the workers of one job share."""

    client: openai.AsyncOpenAI
    limits: Limits
    endpoint: Endpoint
    on_reply: OnReply
    progress: Progress
    pace: Pace
    budget: Budget
    is_expected: IsExpected
    replies: dict[str, JudgeReply] = field(default_factory=dict)
    answered: bool = False
    rejected_keys: int = 0
    in_vain: int = 0  # requests in a row that came to nothing
    closed: str | None = None  # the failure that every further request would meet too


def ask_all(
    requests: Iterable[JudgeRequest],
    endpoint: Endpoint,
    limits: Limits,
    on_reply: OnReply,
    budget: Budget | None = None,
    total: int = 0,
    done: str = "judged",
    is_expected: IsExpected = lambda reply: True,
) -> dict[str, JudgeReply]:
    """Send distinct requests and return one reply by key for each of them.

    `requests` are taken one by one when there is room for another; `total` and what is `done` are
    for the log.
    `on_reply` is called for every outcome, at once, before the same worker sends its next request;
    it settles what the `budget` has reserved for the request.
    No failure of the endpoint raises: a request without a reply has an `error` "type: detail". An
    InputError of `on_reply` stops the sending and is raised. A reply that is not `is_expected`
    stops the sending too; what is in flight is waited for.
    """
    budget = budget or Budget(Price(), None, Usage())
    try:
        return asyncio.run(
            _ask_all(
                requests, endpoint, limits, on_reply, budget, Progress(done, total), is_expected
            )
        )
    except* InputError as group:
        raise _first(group) from None


def _first(group: BaseExceptionGroup) -> BaseException:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error


async def _ask_all(
    requests: Iterable[JudgeRequest],
    endpoint: Endpoint,
    limits: Limits,
    on_reply: OnReply,
    budget: Budget,
    progress: Progress,
    is_expected: IsExpected,
) -> dict[str, JudgeReply]:
    client = make_client(endpoint, limits, openai.AsyncOpenAI, openai.DefaultAsyncHttpxClient)
    logging.info("asking %s", client.base_url)
    pace = Pace(limits.requests_per_minute, limits.tokens_per_minute)
    job = _Job(client, limits, endpoint, on_reply, progress, pace, budget, is_expected)
    queue = iter(requests)
    async with client, asyncio.TaskGroup() as workers:
        for _ in range(min(limits.concurrency, progress.total or limits.concurrency)):
            workers.create_task(_work(job, queue))
    return job.replies


def make_client(endpoint: Endpoint, limits: Limits, client: type, http_client: type) -> Any:
    """Return an OpenAI client (synchronous or not) for an endpoint.

    Retries are ours: the client's own would retry an empty account and not a truncated reply.
    """
    return client(
        base_url=endpoint.base_url,
        api_key=endpoint.api_key,
        max_retries=0,
        timeout=limits.timeout_seconds,
        http_client=http_client(trust_env=not _is_loopback(endpoint.base_url)),
    )


async def _work(job: _Job, queue: Iterator[JudgeRequest]) -> None:
    for request in queue:
        reply = await _ask(job, request)
        job.replies[request.key] = reply
        job.on_reply(request, reply)
        job.progress.add(failed=int(reply.error is not None))


async def _ask(job: _Job, request: JudgeRequest) -> JudgeReply:
    """Ask until there is a reply or no hope for one."""
    lost = 0, 0
    attempts: Counter[bool] = Counter()  # by whether something unusable came, which may cost
    if job.closed is None and not job.budget.admit(request):
        job.closed = BUDGET
    while True:
        if job.closed is not None:
            return unsent(request.model, job.closed)
        await job.pace.turn(request.prompt_tokens + request.max_tokens)
        outcome = await _attempt(job, request)
        if isinstance(outcome, JudgeReply):
            job.answered, job.in_vain = True, 0
            if not job.is_expected(outcome):
                job.closed = WRONG_MODEL
            return outcome.plus(lost)
        is_unusable = outcome.kind == INVALID_REPLY
        attempts[is_unusable] += 1
        lost = lost[0] + outcome.tokens[0], lost[1] + outcome.tokens[1]
        _note(job, outcome)
        if attempts[is_unusable] >= _attempts(outcome, job.limits):
            _note_loss(job, outcome)
            detail = " ".join(job.endpoint.hide_key(outcome.detail).split())[:DETAIL_LENGTH]
            return JudgeReply(request.model, error=f"{outcome.kind}: {detail}").plus(lost)
        pause = _pause(job.limits, outcome, attempts.total(), request.key)
        if outcome.retry_after is not None:
            job.pace.hold(pause)
        await asyncio.sleep(pause)


async def _attempt(job: _Job, request: JudgeRequest) -> JudgeReply | Failure:
    """Send one request once."""
    try:
        # The client's own limit is for each read: a server that drips would be waited for for ever.
        async with asyncio.timeout(job.limits.timeout_seconds):
            raw = await request.send(job.client)
        # An endpoint that repeats the key would have it written to the records and the tables.
        return request.read(job.endpoint.hide_key(raw.text))
    except InvalidReply as error:
        return Failure(INVALID_REPLY, str(error), tokens=error.tokens)
    except (openai.APITimeoutError, TimeoutError):
        return Failure("timeout", f"no whole reply in {job.limits.timeout_seconds:g} seconds")
    except openai.APIConnectionError as error:
        return Failure("connection", f"{error} {error.__cause__ or ''}")
    except openai.APIStatusError as error:
        if CONTENT_FILTER in (error.code or ""):  # some endpoints refuse a prompt with status 400
            return JudgeReply(request.model, finish_reason=CONTENT_FILTER)
        kind = failure_kind(error.status_code, (error.code, error.type), error.message)
        return Failure(kind, str(error), _retry_after(error))
    except (openai.OpenAIError, ValueError) as error:
        return Failure(INVALID_REPLY, f"{type(error).__name__}: {error}")


def is_gone(names: Iterable[object]) -> bool:
    """Tell whether an error's code or type says that the model is not there."""
    return not set(_GONE).isdisjoint(names)


def failure_kind(status: int, names: Iterable[object], message: str) -> str:
    """Name a failed HTTP status, given the error's code and type (`names`) and its message."""
    names = set(map(str, names))
    if status in (403, 404) and is_gone(names):
        return NO_MODEL
    if status == 404 and _OF_A_MODEL.search(message):
        return NO_MODEL
    if status in (401, 403):
        return AUTHENTICATION
    if QUOTA in names:
        return QUOTA
    if status >= 500:
        return "server_error"
    kinds = {408: "timeout", 409: "conflict", 429: "rate_limit"}
    return kinds.get(status, f"http_{status}")


def _attempts(failure: Failure, limits: Limits) -> int:
    """Return how often a request is tried that fails like this; unusable replies count apart."""
    if failure.kind == INVALID_REPLY:
        return limits.invalid_attempts
    return limits.attempts if failure.kind in _TRANSIENT else 1


def _note(job: _Job, failure: Failure) -> None:
    """Stop sending when the account is empty, the model gone, or the key never once accepted."""
    if failure.kind in (QUOTA, NO_MODEL):
        job.closed = failure.kind
    elif failure.kind == AUTHENTICATION and not job.answered:
        job.rejected_keys += 1
        if job.rejected_keys >= job.limits.concurrency:
            job.closed = AUTHENTICATION


def _note_loss(job: _Job, failure: Failure) -> None:
    """Stop sending when request after request comes to nothing: the endpoint is down."""
    job.in_vain += failure.kind not in OF_THE_REQUEST
    if job.in_vain >= job.limits.give_up_after and job.closed is None:
        job.closed = failure.kind
        logging.warning("%d requests in a row came to nothing: no more are sent", job.in_vain)


def _pause(limits: Limits, failure: Failure, attempt: int, key: str) -> float:
    """Return the seconds to wait: what the endpoint asks for, or twice as long every time."""
    if failure.retry_after is not None:
        return min(failure.retry_after, limits.longest_asked_seconds)
    pause = min(limits.first_pause_seconds * 2 ** (attempt - 1), limits.longest_pause_seconds)
    # Spread by content, so that requests refused together do not come back together.
    return pause * (0.75 + 0.5 * int(key[:4], 16) / 0xFFFF)


def _retry_after(error: openai.APIStatusError) -> float | None:
    """Return the seconds that the endpoint asks to wait, which may be given as a date."""
    headers = error.response.headers
    for name, seconds in (("retry-after-ms", _milliseconds), ("retry-after", _seconds)):
        try:
            wait = seconds(headers[name])
        except (KeyError, ValueError):
            continue
        if not math.isnan(wait):
            return max(wait, 0.0)
    return None


def _milliseconds(text: str) -> float:
    return float(text) / 1000


def _seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return parsedate_to_datetime(text).timestamp() - time.time()


def _is_loopback(base_url: str | None) -> bool:
    """Tell whether a server runs here, where a proxy from the environment would not find it."""
    return base_url is not None and urlsplit(base_url).hostname in _LOOPBACK
