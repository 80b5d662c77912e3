"""What a raw folder's manifest.json says of its files."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from reset_tuning.errors import InputError


@dataclass(frozen=True)
class RawFile:
    """A raw file: its path from the manifest's folder, its split, its digest, size and age.

    fetched: when its content was written on this machine (UTC), as the file system knows it, so
    that a manifest made again of the same files is the same.
    """

    path: str
    split: str
    sha256: str
    bytes: int
    fetched: str = ""


def read_manifest(manifest: Path) -> list[RawFile]:
    """Return a manifest's files; raise InputError when it is missing or not a manifest."""
    try:
        return [RawFile(**file) for file in json.loads(manifest.read_text())["files"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{manifest} is not a readable manifest: {error}; fetch again") from error


def written_at(path: Path) -> str:
    """Return when a file's content was written on this machine (UTC, to the second)."""
    return datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat(timespec="seconds")
