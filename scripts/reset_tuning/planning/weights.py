"""Whether files of weights are whole, told by their first bytes and their size alone."""

import json
import zipfile
from pathlib import Path
from typing import Any

from reset_tuning.errors import InputError

_POINTER = b"version https://git-lfs"
_ARCHIVE = b"PK"  # torch.save writes zip archives, whose directory stands at their end
_LENGTH_BYTES = 8


def read_header(weights: Path) -> dict[str, Any]:
    """Return what a safetensors file says of its tensors by name: their types, shapes and places.

    Raises InputError unless the file ends where its last tensor does.
    """
    start, size = _start(weights), weights.stat().st_size
    length = int.from_bytes(start[:_LENGTH_BYTES], "little")
    try:
        if length > size:  # which no other file's first bytes may make us read
            raise ValueError
        with weights.open("rb") as stream:
            stream.seek(_LENGTH_BYTES)
            tensors = json.loads(stream.read(length))
        tensors.pop("__metadata__", None)
        end = max((tensor["data_offsets"][1] for tensor in tensors.values()), default=0)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise _broken(weights) from error
    if _LENGTH_BYTES + length + end != size:
        raise _broken(weights)
    return tensors


def check_old_format(weights: Path) -> None:
    """Raise InputError for a .bin file that was cut short, or is none."""
    if _start(weights).startswith(_ARCHIVE) and not zipfile.is_zipfile(weights):
        raise _broken(weights)


def _start(weights: Path) -> bytes:
    """Return a file's first bytes; raise InputError when they are no weights of any format."""
    with weights.open("rb") as stream:
        start = stream.read(len(_POINTER))
    if not start:
        raise InputError(f"{weights} is empty: download it anew")
    if start == _POINTER:
        raise InputError(
            f"{weights} only names its content (a Git-LFS pointer): run `git lfs pull` in the "
            "repository that it is from, or download it anew"
        )
    return start


def _broken(weights: Path) -> InputError:
    size = weights.stat().st_size
    return InputError(f"{weights} is broken or was cut short ({size:,} bytes): download it anew")
