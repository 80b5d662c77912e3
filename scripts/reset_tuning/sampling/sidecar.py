"""What a model has already generated, kept beside the results: <sidecar>/<model>/*.jsonl.

A line is one output with everything it depends on: the model (its folder), the prompt, the setting
and the limit of new tokens. So identical weights are evaluated once, a killed job goes on where it
stopped, a new test set costs its own rows only, and ReSet-S takes ReSet's draws. Each process
appends to a file of its own, so several jobs need no lock on a shared file system; all are read.
"""

import hashlib
import json
import logging
import os
import socket
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

from reset_tuning.files import sha256_of
from reset_tuning.sampling.backend import Completion, Setting

_WEIGHTS = (".safetensors", ".bin")

# Raise it when the same model, prompt and setting would draw another output than before.
_FORMAT = "1"


@dataclass(frozen=True)
class Key:
    """What an output of one model depends on; `prompt` is the SHA-256 of the prompt's text."""

    prompt: str
    temperature: float
    top_k: int
    seed: int
    max_new_tokens: int


def output_key(prompt: str, setting: Setting, max_new_tokens: int) -> Key:
    """Return the key of an output."""
    digest = hashlib.sha256(prompt.encode()).hexdigest()
    return Key(digest, setting.temperature, setting.top_k, setting.seed, max_new_tokens)


def model_identity(files: Iterable[Path], model_path: str, dtype: str, attention: str) -> str:
    """Return 32 hexadecimal digits that name a model by what it computes, not by where it lies.

    `files` are a checkpoint's files; without any, a folder's own files are taken, and a hub id
    stands for itself. Weights, tokenizer, dtype and attention count.
    """
    files = list(files) or list(Path(model_path).glob("*"))
    counted = [file for file in files if file.suffix in _WEIGHTS or file.name == "tokenizer.json"]
    parts = sorted(f"{file.name} {sha256_of(file)}" for file in counted) or [model_path]
    return hashlib.sha256("\n".join([_FORMAT, *parts, dtype, attention]).encode()).hexdigest()[:32]


class Sidecar:
    """The known outputs of one model; a context manager that closes the file it appends to."""

    def __init__(self, directory: Path, identity: str) -> None:
        self._directory = directory / identity
        self._stream: TextIO | None = None
        self._known: dict[Key, Completion] = {}
        self._load()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def get(self, key: Key) -> Completion | None:
        """Return a known output, or None."""
        return self._known.get(key)

    def add(self, outputs: Iterable[tuple[Key, Completion]]) -> None:
        """Store outputs; they survive the death of the process from when this returns."""
        if self._stream is None:
            self._directory.mkdir(parents=True, exist_ok=True)
            self._stream = self._new_file().open("x", encoding="utf-8")
        for key, completion in outputs:
            self._known[key] = completion
            self._stream.write(json.dumps(asdict(key) | asdict(completion)) + "\n")
        self._stream.flush()

    def _new_file(self) -> Path:
        host = socket.gethostname().split(".")[0]
        return self._directory / f"{host}-{os.getpid()}-{time.time_ns()}.jsonl"

    def _load(self) -> None:
        """Read every process's file; the line that a killed process left torn is skipped."""
        torn = 0
        for line in self._lines():
            try:
                record = json.loads(line)
                key = Key(**{name: record.pop(name) for name in Key.__dataclass_fields__})
                self._known.setdefault(key, Completion(**record))
            except (ValueError, KeyError, TypeError):
                torn += 1
        if torn:
            logging.warning("skipped %d torn lines under %s", torn, self._directory)

    def _lines(self) -> Iterator[bytes]:
        for path in sorted(self._directory.glob("*.jsonl")):
            with path.open("rb") as stream:
                yield from stream
