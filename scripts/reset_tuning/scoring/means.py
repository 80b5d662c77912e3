"""What a metric works with: nothing here decides a value."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reset_tuning.files import describe_model
from reset_tuning.journal import Sidecar


@dataclass(frozen=True)
class Means:
    """How much a model reads at once (pairs or tokens), its threads, and where scores are kept.

    Without a `sidecar` a killed job starts again and equal outputs are scored again.
    """

    batch_size: int = 64
    batch_tokens: int = 2048
    threads: int = 1
    sidecar: Path | None = None

    def kept_scores(self, model: str, settings: Mapping[str, Any]) -> Sidecar:
        """Return what a model scored under these settings; nothing without a `sidecar`."""
        if self.sidecar is None:
            return Sidecar(None)
        identity = [json.dumps(settings, sort_keys=True), *describe_model((), model)]
        return Sidecar(self.sidecar / digest_of(identity)[:32])


def digest_of(parts: Any) -> str:
    """Return a name for what JSON can hold."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
