"""Records of judges' replies: append-only, addressed by content, safe for several jobs.

Below <records>/<judge>/, a journal with one line {"key", "usage", "endpoint", "request",
"response"} per reply ("via" behind the usage where it came in a batch), the response being the
endpoint's raw text, and one line {"key", "failed_at", …, "error"} per request that got none, with
"usage" and "via" behind the key where what came was paid for all the same.
Replies cost money: nothing here is ever rewritten or deleted. A failure is asked for again by the
next live job; it is kept so that a replay gives the same tables.
"""

import json
import logging
import os
import re
import socket
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from reset_tuning.journal import Journal
from reset_tuning.judging.prices import Usage
from reset_tuning.judging.replies import BATCH, LIVE, JudgeReply, read_response
from reset_tuning.judging.requests import JudgeRequest

_HEAD = re.compile(
    rb'\{"key": "([0-9a-f]{64})", '
    rb'(?:"usage": \[(\d+|null), (\d+|null)\](?:, "via": "(batch)")?|("failed_at"))'
)


class Records(Journal):
    """The records of one judge, with the replies to `keys` and the tokens of all in memory.

    `replies`, `failures` and `strays` are by key. They hold what was on record at the last
    `refresh`, and what this process has stored since. A reply of a model that is not `is_accepted`
    is no reply to its request, but what it cost is a cost of the request.
    """

    def __init__(
        self,
        directory: Path,
        judge: str,
        keys: Collection[str] = (),
        is_accepted: Callable[[str], bool] = lambda model: True,
    ) -> None:
        super().__init__(directory / judge)
        self.replies: dict[str, JudgeReply] = {}
        self.failures: dict[str, JudgeReply] = {}
        self.usage = Usage()
        self._keys = set(keys)
        self._is_accepted = is_accepted
        self._strays: dict[str, JudgeReply] = {}
        self._failed_at: dict[str, float] = {}
        self._lost: dict[str, tuple[int, int]] = {}  # tokens of failures and strays, by key
        self._offsets: dict[Path, int] = {}
        self._unfinished = 0  # last lines that were not whole at the last look

    @property
    def strays(self) -> dict[str, JudgeReply]:
        """Replies of models that are not accepted, to requests that have no other reply."""
        return {key: reply for key, reply in self._strays.items() if key not in self.replies}

    def refresh(self, is_contended: bool = False) -> None:
        """Read what other processes have recorded since the last call.

        `is_contended` makes sure that new files of other machines are seen: over NFS the listing
        of a folder may be a minute old, unless this machine has just changed the folder. A line
        that a killed job left torn is skipped, and counted in the log; one at the end of a file is
        counted unless `is_contended`, when another job may be writing it.
        """
        if is_contended:
            self._change_directory()
        self._unfinished = 0
        torn = sum(not self._read(line) for line in self._new_lines())
        torn += 0 if is_contended else self._unfinished
        if torn:
            logging.warning("skipped %d torn lines under %s", torn, self.directory)

    def store(self, request: JudgeRequest, reply: JudgeReply) -> None:
        """Store one reply, or one failure, at once; a job killed later does not pay for it again.

        Raises InputError when it cannot be stored.
        """
        usage = [reply.prompt_tokens, reply.completion_tokens]
        way = {} if reply.via == LIVE else {"via": reply.via}
        if reply.response is None:
            paid = {"usage": usage, **way} if any(reply.tokens) else {}
            record = {"key": request.key, **paid, **_failure(request, reply)}
            self._count_loss(request.key, reply)
            self.failures[request.key] = reply
        else:
            record = {
                "key": request.key,
                "usage": usage,
                **way,
                "endpoint": request.endpoint,
                "request": request.body(),
                "response": reply.response,
            }
            self._keep(request.key, reply)
            self.usage.add(*usage, reply.via)
        self.append([record])

    def outcome(self, key: str) -> JudgeReply | None:
        """Return the reply to a request, else its last failure, with all that was paid for it."""
        lost = self._lost.get(key, (0, 0))
        if key in self.replies:
            return self.replies[key].plus(lost)
        failure = self.failures.get(key)
        return failure and replace(failure, prompt_tokens=None, completion_tokens=None).plus(lost)

    def _keep(self, key: str, reply: JudgeReply) -> None:
        if self._is_accepted(reply.model):
            self.replies.setdefault(key, reply)
        else:
            self._strays[key] = reply
            self._lose(key, reply.tokens)

    def _count_loss(self, key: str, failure: JudgeReply) -> None:
        """Count what was paid for a failure, if anything was."""
        if any(failure.tokens):
            self.usage.add(*failure.tokens, failure.via)
            self._lose(key, failure.tokens)

    def _lose(self, key: str, tokens: tuple[int, int]) -> None:
        before = self._lost.get(key, (0, 0))
        self._lost[key] = before[0] + tokens[0], before[1] + tokens[1]

    def _change_directory(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        probe = self.directory / f".{socket.gethostname()}-{os.getpid()}"
        probe.touch()
        probe.unlink(missing_ok=True)

    def _new_lines(self) -> Iterator[bytes]:
        """Yield the lines that were added to the files of other processes, whole ones only."""
        for path in sorted(self.directory.glob("*.jsonl")):
            if path == self.own_file:
                continue
            with path.open("rb") as stream:
                stream.seek(self._offsets.get(path, 0))
                for line in stream:
                    if not line.endswith(b"\n") and not _is_json(line):
                        self._unfinished += 1
                        break  # being written, or torn by a kill: it is looked at again
                    self._offsets[path] = self._offsets.get(path, 0) + len(line)
                    yield line

    def _read(self, line: bytes) -> bool:
        """Take in one line; return False when it is no record."""
        head = _HEAD.match(line)
        try:
            # Parsing them all would be slow: of another job's replies only the tokens count.
            if head and head[1].decode() not in self._keys:
                if not head[5]:
                    tokens = (None if text == b"null" else int(text) for text in head.group(2, 3))
                    self.usage.add(*tokens, BATCH if head[4] else LIVE)
                return True
            self._take(json.loads(line))
        except (ValueError, KeyError, TypeError):
            return False
        return True

    def _take(self, record: dict[str, Any]) -> None:
        key = record["key"]
        via = record.get("via", LIVE)
        if "failed_at" in record:
            self._take_failure(key, record, via)
            return
        reply = replace(read_response(record["response"], record["request"]["model"]), via=via)
        if "usage" in record:  # unusable replies to the same request included
            prompt_tokens, completion_tokens = record["usage"]
            reply = replace(reply, prompt_tokens=prompt_tokens, completion_tokens=completion_tokens)
        self.usage.add(reply.prompt_tokens, reply.completion_tokens, via)
        if key in self._keys:
            self._keep(key, reply)

    def _take_failure(self, key: str, record: dict[str, Any], via: str) -> None:
        fields = {name: record[name] for name in ("model", "finish_reason", "error")}
        failure = JudgeReply(**fields, via=via).plus(tuple(record.get("usage", (0, 0))))
        self._count_loss(key, failure)
        if key in self._keys and record["failed_at"] > self._failed_at.get(key, 0.0):
            self._failed_at[key] = record["failed_at"]
            self.failures[key] = failure


def _failure(request: JudgeRequest, reply: JudgeReply) -> dict[str, Any]:
    return {
        "failed_at": time.time(),
        "endpoint": request.endpoint,
        "model": reply.model,
        "finish_reason": reply.finish_reason,
        "error": reply.error,
    }


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True
