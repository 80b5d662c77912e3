"""Append-only JSON lines below one directory, safe for several jobs on a shared file system.

Each process appends to a file of its own, <host>-<process>-<time>.jsonl, so no lock is needed; all
files are read. Nothing is ever rewritten: the line that a killed process left torn stays the last
of its file, and readers skip it.
"""

import hashlib
import itertools
import json
import logging
import os
import socket
import time
from abc import ABC, abstractmethod
from array import array
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from io import BufferedReader, FileIO
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from reset_tuning.errors import InputError

_SYNC_SECONDS = 1.0  # what a machine that loses power may lose; a killed process loses nothing
_LINE_START = b'{"key": "'
_OFFSET_BITS = 44  # of a place; the bits above number the file
_FEW = 4096  # keys that are found in a dictionary before they are sorted in


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

    def append(self, records: Iterable[Mapping[str, Any]]) -> list[int]:
        """Append records; they survive the death of the process from when this returns.

        Returns where each of them begins in `own_file`. Raises InputError when they cannot be
        written, as on a full disk.
        """
        lines = [json.dumps(record).encode() + b"\n" for record in records]
        if not lines:
            return []
        with self._told():
            if self._stream is None:
                self._stream = self._new_file()
            start = self._stream.tell()
            _write_all(self._stream, b"".join(lines))
            if time.monotonic() - self._synced >= _SYNC_SECONDS:
                self._sync()
        return [*itertools.accumulate(map(len, lines[:-1]), initial=start)]

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


class _Places:
    """Where the result of every key stands: 16 bytes a key, by the first 8 bytes of its digest."""

    def __init__(self, digests: array, places: array) -> None:
        self._digests = np.array(digests, np.uint64)
        self._places = np.array(places, np.int64)
        self._sort()
        self._added: dict[int, list[int]] = {}

    def _sort(self) -> None:
        order = np.argsort(self._digests, kind="stable")  # of equal keys the first one stays first
        self._digests, self._places = self._digests[order], self._places[order]

    def find(self, digest: int) -> list[int]:
        """Return the places of a digest, the earliest first; other keys may share the digest."""
        first, last = (
            int(self._digests.searchsorted(np.uint64(digest), side)) for side in ("left", "right")
        )
        return [*self._places[first:last].tolist(), *self._added.get(digest, ())]

    def add(self, digest: int, place: int) -> None:
        """Note one more place."""
        self._added.setdefault(digest, []).append(place)
        if len(self._added) > max(_FEW, len(self._digests) // 8):
            pairs = [(d, place) for d, places in self._added.items() for place in places]
            digests, places = zip(*pairs, strict=True)
            self._digests = np.append(self._digests, np.array(digests, np.uint64))
            self._places = np.append(self._places, np.array(places, np.int64))
            self._sort()
            self._added = {}


class Sidecar(_Closing):
    """Finished results by key, kept in a journal so that no job repeats them.

    A key is a digest of all that its result depends on; a result is anything that JSON holds.
    Memory holds only where the results stand. Without a directory nothing outlives the process.
    """

    def __init__(self, directory: Path | None) -> None:
        self._journal = Journal(directory) if directory else None
        self._known: dict[str, Any] = {}  # without a journal
        self._files: list[Path] = []
        self._ends: list[int] = []  # how far each file has been read
        self._streams: dict[int, BufferedReader] = {}
        self._n_torn = 0
        found = array("Q"), array("q")
        for digest, place in self._unread():
            found[0].append(digest)
            found[1].append(place)
        self._places = _Places(*found)
        if self._n_torn:
            logging.warning("skipped %d torn lines under %s", self._n_torn, directory)

    def refresh(self) -> None:
        """Take note of what other processes have stored since the last time."""
        for digest, place in self._unread():
            self._places.add(digest, place)

    def _unread(self) -> Iterator[tuple[int, int]]:
        """Yield the digest and the place of every whole line that was not read yet."""
        if self._journal is None:
            return
        for path in sorted(self._journal.directory.glob("*.jsonl")):
            number = self._number(path)
            if path != self._journal.own_file and path.stat().st_size > self._ends[number]:
                for digest, offset in self._scan(number):
                    yield digest, number << _OFFSET_BITS | offset

    def _number(self, path: Path) -> int:
        """Return the number of a file, which a new one gets here."""
        if path not in self._files:
            self._files.append(path)
            self._ends.append(0)
        return self._files.index(path)

    def _scan(self, number: int) -> Iterator[tuple[int, int]]:
        """Yield the digest and the offset of every new whole line of a file."""
        with self._files[number].open("rb") as stream:
            stream.seek(self._ends[number])
            for line in stream:
                offset = self._ends[number]
                if line.startswith(_LINE_START) and line.endswith(b"}\n"):
                    yield _digest(line.split(b'"', 4)[3]), offset
                else:
                    self._n_torn += 1
                if line.endswith(b"\n"):  # else its writer may still be at it
                    self._ends[number] += len(line)

    def get(self, key: str) -> Any | None:
        """Return a known result, or None."""
        if self._journal is None:
            return self._known.get(key)
        for place in self._places.find(_digest(key.encode())):
            record = self._read(place)
            if record is not None and record["key"] == key:
                return record["result"]
        return None

    def _read(self, place: int) -> Any | None:
        number, offset = place >> _OFFSET_BITS, place & ((1 << _OFFSET_BITS) - 1)
        if number not in self._streams:
            self._streams[number] = self._files[number].open("rb")
        self._streams[number].seek(offset)
        try:
            return json.loads(self._streams[number].readline())
        except ValueError:
            logging.warning("%s has a damaged line: its result is made again", self._files[number])
            return None

    def add(self, results: Iterable[tuple[str, Any]]) -> None:
        """Store results; they survive the death of the process from when this returns."""
        results = list(results)
        if self._journal is None:
            self._known.update(results)
        elif results:
            offsets = self._journal.append({"key": k, "result": result} for k, result in results)
            own = self._journal.own_file
            assert own is not None
            number = self._number(own)
            for (key, _), offset in zip(results, offsets, strict=True):
                self._places.add(_digest(key.encode()), number << _OFFSET_BITS | offset)

    def close(self) -> None:
        """Force what was stored to the disk."""
        for stream in self._streams.values():
            stream.close()
        self._streams = {}
        if self._journal:
            self._journal.close()


def _digest(key: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "big")
