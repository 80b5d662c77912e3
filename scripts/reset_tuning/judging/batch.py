"""The provider's batch API: half the price, an answer within a day, and a job that can be resumed.

A batch is known by a label, new for every sending, which the provider keeps in its metadata and a
journal beside the records together with the requests' keys: a job that was killed, whether it was
about to send a batch, waiting for it or collecting its answers, finds it there again and pays for
nothing twice.
"""

import json
import logging
import time
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import openai

from reset_tuning.errors import InputError
from reset_tuning.journal import Journal
from reset_tuning.judging.client import (
    DETAIL_LENGTH,
    NO_MODEL,
    Limits,
    OnReply,
    failure_kind,
    is_gone,
    make_client,
)
from reset_tuning.judging.replies import (
    BATCH,
    INVALID_REPLY,
    InvalidReply,
    JudgeReply,
    json_object,
    read_response,
)
from reset_tuning.judging.requests import JudgeRequest, in_parts
from reset_tuning.judging.server import Endpoint

_URL = "/v1/chat/completions"
_LABEL = "reset_tuning_requests"  # the metadata key with a batch's label
_REQUESTS_PER_BATCH = 20_000  # providers allow 50,000 and 200 MB
_LOST = ("failed", "expired", "cancelled", "cancelling")
_REFUSED_STATUSES = range(400, 600)


@dataclass(frozen=True)
class Waiting:
    """How long to wait between two looks at a batch, and for all of them."""

    poll_seconds: float = 60.0
    hours: float = 26.0


class SentBatches(Journal):
    """What was sent in which batch, and what of it has been collected.

    A journal of {"batch", "sent"} and {"batch", "collected"}: a batch's label and keys of its
    requests. `open` are the keys of each batch that nobody has collected yet.
    """

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.open: dict[str, set[str]] = {}
        collected: dict[str, set[str]] = {}
        for line in self.lines():
            try:
                record = json.loads(line)
                known = self.open if "sent" in record else collected
                keys = record["sent"] if "sent" in record else record["collected"]
                known.setdefault(record["batch"], set()).update(keys)
            except (ValueError, KeyError, TypeError):
                continue  # torn by a kill
        for label, keys in collected.items():
            self.open.get(label, set()).difference_update(keys)

    def sending(self, label: str, keys: Sequence[str]) -> None:
        """Note a batch that is sent next."""
        self.append([{"batch": label, "sent": list(keys)}])

    def collected(self, label: str, keys: Sequence[str]) -> None:
        """Note what a batch has been asked about: the next job sends anew what it left out."""
        self.append([{"batch": label, "collected": list(keys)}])


@dataclass(frozen=True)
class _Sent:
    """A batch at the provider, and those of its requests that are wanted of it."""

    label: str
    batch: Any
    requests: Sequence[JudgeRequest]


def ask_batch(
    requests: Sequence[JudgeRequest],
    endpoint: Endpoint,
    limits: Limits,
    on_reply: OnReply,
    sent: SentBatches,
    waiting: Waiting | None = None,
) -> dict[str, JudgeReply]:
    """Send distinct requests as batches, wait for them, and return one reply by key for each.

    Requests that an earlier job has sent are waited for and not sent again. The outcomes are those
    of `ask_all`; `on_reply` is called for each of them. Raises InputError when the provider takes
    no batches, or lets one wait longer than `waiting.hours`.
    """
    waiting = waiting or Waiting()
    client = make_client(endpoint, limits, openai.OpenAI, openai.DefaultHttpxClient)
    replies: dict[str, JudgeReply] = {}
    with client:
        try:
            for one in _all_sent(client, requests, sent):
                batch = _finished(client, one.batch, waiting)
                for request, reply in _collect(client, one.requests, batch, endpoint):
                    replies[request.key] = reply
                    on_reply(request, reply)
                sent.collected(one.label, [request.key for request in one.requests])
        except openai.OpenAIError as error:
            detail = " ".join(endpoint.hide_key(str(error)).split())[:DETAIL_LENGTH]
            if _is_of_the_model(error):
                left = [request for request in requests if request.key not in replies]
                gone = f"{NO_MODEL}: {detail}"
                return replies | {r.key: JudgeReply(r.model, error=gone) for r in left}
            raise InputError(
                f"the batch API at {client.base_url} failed ({type(error).__name__}: {detail}): "
                "start again, a batch that was sent is found there; or set the judge's mode to live"
            ) from None
    return replies


def _all_sent(
    client: openai.OpenAI, requests: Sequence[JudgeRequest], sent: SentBatches
) -> list[_Sent]:
    """Return the batches that hold the requests: those of earlier jobs, and new ones."""
    missing = {request.key: request for request in requests}
    found = []
    for label, batch in _batches_of(client, sent.open, missing):
        keys = [key for key in missing if key in sent.open[label]]
        if keys:
            logging.info("found batch %s, %s, with %d requests", batch.id, batch.status, len(keys))
            found.append(_Sent(label, batch, [missing.pop(key) for key in keys]))
    new = in_parts(list(missing.values()), _REQUESTS_PER_BATCH)
    return found + [_submitted(client, part, sent) for part in new]


def _batches_of(
    client: openai.OpenAI, known: Mapping[str, Collection[str]], wanted: Iterable[str]
) -> Iterator[tuple[str, Any]]:
    """Yield label and batch of what the provider has of known batches with a wanted request."""
    wanted = set(wanted)
    labels = {label for label, keys in known.items() if not wanted.isdisjoint(keys)}
    for batch in client.batches.list(limit=100) if labels else ():
        label = (batch.metadata or {}).get(_LABEL)
        # A batch that expired has answers too, which are paid for.
        if label in labels and (batch.status not in _LOST or batch.output_file_id):
            yield label, batch


def _submitted(client: openai.OpenAI, requests: Sequence[JudgeRequest], sent: SentBatches) -> _Sent:
    keys = [request.key for request in requests]
    # Not made of the keys: what a lost batch held is sent again, and is another batch.
    label = uuid.uuid4().hex
    sent.sending(label, keys)
    file = client.files.create(file=("requests.jsonl", _lines(requests)), purpose="batch")
    batch = client.batches.create(
        input_file_id=file.id,
        endpoint=_URL,
        completion_window="24h",
        metadata={_LABEL: label},
    )
    logging.info("sent batch %s of %d requests", batch.id, len(requests))
    return _Sent(label, batch, requests)


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
            try:
                record = json_object(endpoint.hide_key(line))
            except InvalidReply as error:
                logging.warning("batch %s has a line that cannot be read: %s", batch.id, error)
                continue
            request = missing.pop(record.get("custom_id", ""), None)
            if request is not None:
                yield request, _reply(record, request)
    reason = _reason(batch)
    for request in missing.values():
        yield request, JudgeReply(request.model, error=endpoint.hide_key(reason))


def _reason(batch: Any) -> str:
    """Return why a batch has left requests out, in the provider's words where it has some."""
    errors = (batch.errors and batch.errors.data) or []
    kind = NO_MODEL if any(is_gone((error.code,)) for error in errors) else f"batch_{batch.status}"
    said = "; ".join(dict.fromkeys(str(error.message or error.code) for error in errors))
    return f"{kind}: {' '.join(said.split())[:DETAIL_LENGTH] or 'not answered'}"


def _reply(record: dict[str, Any], request: JudgeRequest) -> JudgeReply:
    response, error = record.get("response") or {}, record.get("error") or {}
    status, body = response.get("status_code"), response.get("body")
    if error or status in _REFUSED_STATUSES or body is None:
        detail = json.dumps(error or body)[:DETAIL_LENGTH]
        kind = _kind(status, body) if status else "batch_error"
        return JudgeReply(request.model, error=f"{kind}: {detail}")
    try:
        return replace(read_response(json.dumps(body), request.model), via=BATCH)
    except InvalidReply as invalid:
        failed = JudgeReply(request.model, error=f"{INVALID_REPLY}: {invalid}", via=BATCH)
        return failed.plus(invalid.tokens)


def _kind(status: int, body: Any) -> str:
    """Name a failed HTTP status inside a batch; the client does so for a live one."""
    error = body.get("error") if isinstance(body, dict) else None
    error = error if isinstance(error, dict) else {"message": error}
    names = (error.get("code"), error.get("type"))
    kind = failure_kind(status, names, str(error.get("message")))
    return kind if kind == NO_MODEL else f"http_{status}"


def _is_of_the_model(error: openai.OpenAIError) -> bool:
    if not isinstance(error, openai.APIStatusError):
        return False
    return failure_kind(error.status_code, (error.code, error.type), error.message) == NO_MODEL
