"""What the kinds of source share: the names a config lists, pins, and files in the way."""

import fnmatch
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reset_tuning.errors import InputError
from reset_tuning.files import atomic_path

ALL_SPLITS = "all"  # files whose rows are divided among the splits by a hash
# Beside the manifest; no declared outputs, so they outlive reruns.
PINNED_COMMIT, PINNED_DIGESTS = "commit.json", "digests.json"
OWN_NAMES = ("manifest.json", PINNED_COMMIT, PINNED_DIGESTS)  # of a raw folder, so never data


@dataclass(frozen=True)
class Fetched:
    """The files of each split below the raw folder, and how to name where they came from."""

    files: dict[str, list[Path]]
    source: str
    revision: str | None = None


def listed_files(dataset: str, source: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what the config lists for every split; raise InputError for nothing."""
    files = source.get("files")
    if not files:
        raise InputError(f"datasets.{dataset}.source.files names no files")
    return files


def listed_patterns(dataset: str, source: Mapping[str, Any]) -> Mapping[str, list[str]]:
    """Return the patterns of every split; raise InputError for an entry that is no text."""
    files = listed_files(dataset, source)
    for split, listed in files.items():
        for entry in listed:
            if not isinstance(entry, str):
                raise InputError(
                    f"datasets.{dataset}.source.files.{split}: {entry!r} is no pattern of file "
                    f"names, as a source of type {source.get('type')} has; write one such as *.json"
                )
    return files


def is_own(path: Path, folder: Path) -> bool:
    """Say whether a file in a raw folder is of the fetch or of the hub's client, and no data."""
    relative = path.relative_to(folder)
    return (
        relative.as_posix() in OWN_NAMES
        or ".cache" in relative.parts
        or fnmatch.fnmatch(path.name, ".*.partial")  # of a write that was killed
    )


def in_the_way(path: Path, dataset: str, origin: object) -> InputError:
    """Return the error for a path that is needed for a file, where something else lies."""
    return InputError(
        f"dataset {dataset}: {path} is in the way of {origin} (datasets.{dataset}.source.files), "
        "but was not fetched from there; move it away, or delete it if nobody needs it"
    )


def refuse_shared(dataset: str, files: Mapping[str, list[Path]]) -> None:
    """Raise InputError when a file is in two splits: its test rows would be trained on."""
    owner: dict[Path, str] = {}
    for split, paths in files.items():
        for path in paths:
            other = owner.setdefault(path.resolve(), split)
            if other != split:
                raise InputError(
                    f"dataset {dataset}: {path.name} matches the patterns of both {other} and "
                    f"{split}, itself or through a link; list it once, under {ALL_SPLITS} to "
                    "divide its rows"
                )


def read_pins(path: Path, purpose: str) -> dict[str, str]:
    """Return what the first fetch pinned; raise InputError for a file that does not say so.

    purpose: what deleting the file does.
    """
    if not path.exists():
        return {}
    try:
        return {str(key): str(value) for key, value in json.loads(path.read_text()).items()}
    except (OSError, ValueError, AttributeError) as error:
        raise InputError(
            f"{path}, which pins the content of the first fetch, is not readable ({error}); delete "
            f"it to {purpose}, or pin that in the config"
        ) from error


def write_pins(path: Path, pins: Mapping[str, str]) -> None:
    """Write what later fetches keep to."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(pins, indent=2) + "\n")
