"""What a metric works with: nothing here decides a value."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Means:
    """How much a model reads at once (pairs or tokens), its threads, and where scores are kept.

    Without a `sidecar` a killed job starts again and equal outputs are scored again.
    """

    batch_size: int = 64
    batch_tokens: int = 2048
    threads: int = 1
    sidecar: Path | None = None
