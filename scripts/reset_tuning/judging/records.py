"""Records of judges' replies: append-only, addressed by content, safe for several jobs.

Layout: <records>/<judge>/<host>-<process>-<time>.jsonl, one line {"key", "endpoint", "request",
"response"} per reply, the response being the endpoint's raw text. Each process appends to a file of
its own, so no lock is needed on a shared file system; all files are read. Replies cost money:
nothing here is ever rewritten or deleted.
"""

import json
import logging
import os
import socket
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from reset_tuning.judging.replies import JudgeReply, read_response
from reset_tuning.judging.requests import JudgeRequest

_LINE_START = b'{"key": "'
_KEY = slice(len(_LINE_START), len(_LINE_START) + 64)


class Records:
    """The records of one judge; a context manager that closes the file it appends to."""

    def __init__(self, directory: Path, judge: str) -> None:
        self._directory = directory / judge
        self._stream: BinaryIO | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def load(self, keys: Collection[str]) -> dict[str, JudgeReply]:
        """Return the recorded replies to the requests with these keys.

        A line that a killed job left torn is skipped, and counted in the log.
        """
        found: dict[str, JudgeReply] = {}
        torn = 0
        for line in self._lines():
            if _is_of_another(line, keys):
                continue
            try:
                record = json.loads(line)
                reply = read_response(record["response"], record["request"]["model"])
            except (ValueError, KeyError, TypeError):
                torn += 1
                continue
            if record["key"] in keys:
                found.setdefault(record["key"], reply)
        if torn:
            logging.warning("skipped %d torn lines under %s", torn, self._directory)
        return found

    def append(self, request: JudgeRequest, reply: JudgeReply) -> None:
        """Store one reply at once, so that a job killed later does not pay for it again."""
        record = {
            "key": request.key,
            "endpoint": request.endpoint,
            "request": request.body(),
            "response": reply.response,
        }
        if self._stream is None:
            self._directory.mkdir(parents=True, exist_ok=True)
            self._stream = self._new_file().open("xb")
        self._stream.write(json.dumps(record).encode() + b"\n")
        self._stream.flush()

    def close(self) -> None:
        """Force what was appended to the disk."""
        if self._stream is not None:
            os.fsync(self._stream.fileno())
            self._stream.close()
            self._stream = None

    def _new_file(self) -> Path:
        host = socket.gethostname().split(".")[0]
        return self._directory / f"{host}-{os.getpid()}-{time.time_ns()}.jsonl"

    def _lines(self) -> Iterator[bytes]:
        for path in sorted(self._directory.glob("*.jsonl")):
            with path.open("rb") as stream:
                yield from stream


def _is_of_another(line: bytes, keys: Collection[str]) -> bool:
    """Tell from its start alone that a line is of no use here: parsing them all is slow."""
    return line.startswith(_LINE_START) and line[_KEY].decode(errors="replace") not in keys
