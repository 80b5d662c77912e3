"""The provider's batch API: half the price, an answer within a day, and a job that can be resumed.

A batch is known to the provider by the digest of its requests, which is in its metadata: a job
that was killed after it had sent one finds it there again and pays for nothing twice.
"""

import hashlib
import json
import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import openai

from reset_tuning.errors import InputError
from reset_tuning.judging.client import Limits, OnReply, make_client
from reset_tuning.judging.replies import InvalidReply, JudgeReply, read_response
from reset_tuning.judging.requests import JudgeRequest, in_parts
from reset_tuning.judging.server import Endpoint

_URL = "/v1/chat/completions"
_LABEL = "reset_tuning_requests"  # the metadata key with the digest of a batch's requests
_REQUESTS_PER_BATCH = 20_000  # providers allow 50,000 and 200 MB
_LOST = ("failed", "expired", "cancelled", "cancelling")
_REFUSED_STATUSES = range(400, 600)


@dataclass(frozen=True)
class Waiting:
    """How long to wait between two looks at a batch, and for all of them."""

    poll_seconds: float = 60.0
    hours: float = 26.0


def ask_batch(
    requests: Sequence[JudgeRequest],
    endpoint: Endpoint,
    limits: Limits,
    on_reply: OnReply,
    waiting: Waiting | None = None,
) -> dict[str, JudgeReply]:
    """Send distinct requests as batches, wait for them, and return one reply by key for each.

    The outcomes are those of `ask_all`; `on_reply` is called for each of them. Raises InputError
    when the provider takes no batches, or lets one wait longer than `waiting.hours`.
    """
    waiting = waiting or Waiting()
    client = make_client(endpoint, limits, openai.OpenAI, openai.DefaultHttpxClient)
    replies: dict[str, JudgeReply] = {}
    with client:
        try:
            sent = [
                (part, _submit(client, part)) for part in in_parts(requests, _REQUESTS_PER_BATCH)
            ]
            for part, batch in sent:
                for request, reply in _collect(
                    client, part, _finished(client, batch, waiting), endpoint
                ):
                    replies[request.key] = reply
                    on_reply(request, reply)
        except openai.OpenAIError as error:
            detail = " ".join(endpoint.hide_key(str(error)).split())[:300]
            raise InputError(
                f"the batch API at {client.base_url} failed ({type(error).__name__}: {detail}): "
                "start again, a batch that was sent is found there; or set the judge's mode to live"
            ) from None
    return replies


def _submit(client: openai.OpenAI, requests: Sequence[JudgeRequest]) -> Any:
    """Return the batch with exactly these requests, sent now unless the provider has it already."""
    digest = hashlib.sha256("".join(sorted(r.key for r in requests)).encode()).hexdigest()[:64]
    for batch in client.batches.list(limit=100):
        if (batch.metadata or {}).get(_LABEL) == digest and batch.status not in _LOST:
            logging.info("found batch %s, %s", batch.id, batch.status)
            return batch
    file = client.files.create(file=("requests.jsonl", _lines(requests)), purpose="batch")
    batch = client.batches.create(
        input_file_id=file.id,
        endpoint=_URL,
        completion_window="24h",
        metadata={_LABEL: digest},
    )
    logging.info("sent batch %s of %d requests", batch.id, len(requests))
    return batch


def _lines(requests: Sequence[JudgeRequest]) -> bytes:
    lines = (
        {"custom_id": request.key, "method": "POST", "url": _URL, "body": request.body()}
        for request in requests
    )
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def _finished(client: openai.OpenAI, batch: Any, waiting: Waiting) -> Any:
    """Wait until a batch has ended, however it ended."""
    deadline = time.monotonic() + 3600 * waiting.hours
    while batch.status not in ("completed", *_LOST[:3]):
        if time.monotonic() > deadline:
            raise InputError(
                f"batch {batch.id} is still {batch.status} after {waiting.hours:g} hours: start "
                "again later, it goes on at the provider"
            )
        time.sleep(waiting.poll_seconds)
        batch = client.batches.retrieve(batch.id)
    logging.info("batch %s: %s", batch.id, batch.status)
    return batch


def _collect(
    client: openai.OpenAI, requests: Sequence[JudgeRequest], batch: Any, endpoint: Endpoint
) -> Iterator[tuple[JudgeRequest, JudgeReply]]:
    """Yield what a batch came to, request by request; what it leaves out is an error."""
    missing = {request.key: request for request in requests}
    for file in (batch.output_file_id, batch.error_file_id):
        for line in client.files.content(file).text.splitlines() if file else ():
            record = json.loads(endpoint.hide_key(line))
            request = missing.pop(record["custom_id"], None)
            if request is not None:
                yield request, _reply(record, request)
    for request in missing.values():
        yield request, JudgeReply(request.model, error=f"batch_{batch.status}: not answered")


def _reply(record: dict[str, Any], request: JudgeRequest) -> JudgeReply:
    response, error = record.get("response") or {}, record.get("error") or {}
    status, body = response.get("status_code"), response.get("body")
    if error or status in _REFUSED_STATUSES or body is None:
        detail = json.dumps(error or body)[:300]
        kind = f"http_{status}" if status else "batch_error"
        return JudgeReply(request.model, error=f"{kind}: {detail}")
    try:
        return read_response(json.dumps(body), request.model)
    except InvalidReply as invalid:
        return JudgeReply(request.model, error=f"invalid_reply: {invalid}")
