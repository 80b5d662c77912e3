"""Append-only JSON lines below one directory, safe for several jobs on a shared file system.

Each process appends to a file of its own, <host>-<process>-<time>.jsonl, so no lock is needed; all
files are read. Nothing is ever rewritten: the line that a killed process left torn stays the last
of its file, and readers skip it.
"""

import json
import logging
import os
import socket
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

_SYNC_SECONDS = 1.0  # what a machine that loses power may lose; a killed process loses nothing


class Journal:
    """A directory of JSON lines; a context manager that closes the file it appends to."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._stream: BinaryIO | None = None
        self._synced = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def lines(self) -> Iterator[bytes]:
        """Yield the lines of all processes, file by file in the order of their names."""
        for path in sorted(self.directory.glob("*.jsonl")):
            with path.open("rb") as stream:
                yield from stream

    def append(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Append records; they survive the death of the process from when this returns."""
        lines = [json.dumps(record).encode() + b"\n" for record in records]
        if not lines:
            return
        if self._stream is None:
            self._stream = self._new_file()
        self._stream.writelines(lines)
        self._stream.flush()
        if time.monotonic() - self._synced >= _SYNC_SECONDS:
            self._sync()

    def close(self) -> None:
        """Force what was appended to the disk and close its file."""
        if self._stream is not None:
            self._sync()
            self._stream.close()
            self._stream = None

    def _new_file(self) -> BinaryIO:
        self.directory.mkdir(parents=True, exist_ok=True)
        host = socket.gethostname().split(".")[0]
        return (self.directory / f"{host}-{os.getpid()}-{time.time_ns()}.jsonl").open("xb")

    def _sync(self) -> None:
        assert self._stream is not None
        os.fsync(self._stream.fileno())
        self._synced = time.monotonic()


class Sidecar:
    """Finished results by key, kept in a journal so that no job repeats them.

    A key is a digest of all that its result depends on; a result is anything that JSON holds.
    Without a directory nothing outlives the process.
    """

    def __init__(self, directory: Path | None) -> None:
        self._journal = Journal(directory) if directory else None
        self._known: dict[str, Any] = {}
        torn = 0
        for line in self._journal.lines() if self._journal else ():
            try:
                record = json.loads(line)
                self._known.setdefault(record["key"], record["result"])
            except (ValueError, KeyError, TypeError):
                torn += 1
        if torn:
            logging.warning("skipped %d torn lines under %s", torn, directory)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._journal:
            self._journal.close()

    def get(self, key: str) -> Any | None:
        """Return a known result, or None."""
        return self._known.get(key)

    def add(self, results: Iterable[tuple[str, Any]]) -> None:
        """Store results; they survive the death of the process from when this returns."""
        results = list(results)
        self._known.update(results)
        if self._journal:
            self._journal.append({"key": key, "result": result} for key, result in results)
