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
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from reset_tuning.errors import InputError

_SYNC_SECONDS = 1.0  # what a machine that loses power may lose; a killed process loses nothing


class _Closing(ABC):
    """A context manager that ends with `close`."""

    @abstractmethod
    def close(self) -> None:
        """Let go of what is held."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class Journal(_Closing):
    """A directory of JSON lines; a context manager that closes the file it appends to."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._stream: FileIO | None = None
        self._synced = 0.0

    def lines(self) -> Iterator[bytes]:
        """Yield the lines of all processes, file by file in the order of their names."""
        for path in sorted(self.directory.glob("*.jsonl")):
            with path.open("rb") as stream:
                yield from stream

    @property
    def own_file(self) -> Path | None:
        """The file that this process appends to; None before its first record."""
        return Path(str(self._stream.name)) if self._stream else None

    def append(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Append records; they survive the death of the process from when this returns.

        Raises InputError when they cannot be written, as on a full disk.
        """
        lines = b"".join(json.dumps(record).encode() + b"\n" for record in records)
        if not lines:
            return
        with self._told():
            if self._stream is None:
                self._stream = self._new_file()
            _write_all(self._stream, lines)
            if time.monotonic() - self._synced >= _SYNC_SECONDS:
                self._sync()

    def close(self) -> None:
        """Force what was appended to the disk and close its file."""
        if self._stream is not None:
            with self._told():
                self._sync()
                self._stream.close()
            self._stream = None

    def _new_file(self) -> FileIO:
        self.directory.mkdir(parents=True, exist_ok=True)
        host = socket.gethostname().split(".")[0]
        # Unbuffered: a line that could not be written must not come back when the file is closed.
        return FileIO(self.directory / f"{host}-{os.getpid()}-{time.time_ns()}.jsonl", "x")

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Turn a failure to write into one sentence."""
        try:
            yield
        except OSError as error:
            self._abandon()
            raise InputError(
                f"{self.directory}: a finished result cannot be stored ({error.strerror}): make "
                "room and start again; everything stored before is kept"
            ) from error

    def _abandon(self) -> None:
        """Leave a file that may end in a torn line; what follows goes into a new one."""
        if self._stream is not None:
            with suppress(OSError):
                self._stream.close()
            self._stream = None

    def _sync(self) -> None:
        assert self._stream is not None
        os.fsync(self._stream.fileno())
        self._synced = time.monotonic()


def _write_all(stream: FileIO, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[stream.write(view) :]


class Sidecar(_Closing):
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

    def get(self, key: str) -> Any | None:
        """Return a known result, or None."""
        return self._known.get(key)

    def add(self, results: Iterable[tuple[str, Any]]) -> None:
        """Store results; they survive the death of the process from when this returns."""
        results = list(results)
        self._known.update(results)
        if self._journal:
            self._journal.append({"key": key, "result": result} for key, result in results)

    def close(self) -> None:
        """Force what was stored to the disk."""
        if self._journal:
            self._journal.close()
