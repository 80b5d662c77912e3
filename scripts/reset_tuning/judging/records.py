"""Records of judges' replies: append-only, addressed by content, safe for several jobs.

Below <records>/<judge>/, a journal with one line {"key", "endpoint", "request", "response"} per
reply, the response being the endpoint's raw text. Replies cost money: nothing here is ever
rewritten or deleted.
"""

import json
import logging
from collections.abc import Collection
from pathlib import Path

from reset_tuning.journal import Journal
from reset_tuning.judging.replies import JudgeReply, read_response
from reset_tuning.judging.requests import JudgeRequest

_LINE_START = b'{"key": "'
_KEY = slice(len(_LINE_START), len(_LINE_START) + 64)


class Records(Journal):
    """The records of one judge."""

    def __init__(self, directory: Path, judge: str) -> None:
        super().__init__(directory / judge)

    def load(self, keys: Collection[str]) -> dict[str, JudgeReply]:
        """Return the recorded replies to the requests with these keys.

        A line that a killed job left torn is skipped, and counted in the log.
        """
        found: dict[str, JudgeReply] = {}
        torn = 0
        for line in self.lines():
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
            logging.warning("skipped %d torn lines under %s", torn, self.directory)
        return found

    def store(self, request: JudgeRequest, reply: JudgeReply) -> None:
        """Store one reply at once, so that a job killed later does not pay for it again."""
        record = {
            "key": request.key,
            "endpoint": request.endpoint,
            "request": request.body(),
            "response": reply.response,
        }
        self.append([record])


def _is_of_another(line: bytes, keys: Collection[str]) -> bool:
    """Tell from its start alone that a line is of no use here: parsing them all is slow."""
    return line.startswith(_LINE_START) and line[_KEY].decode(errors="replace") not in keys
