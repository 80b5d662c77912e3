"""A dataset's raw files and their manifest.

Whatever the source, a dataset's raw folder holds the files and a manifest.json that says where they
came from, which split each belongs to, and their digests. A file that is in the way there and that
no fetch wrote is an error; it is neither replaced nor removed.
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from reset_tuning.data.manifests import RawFile, written_at
from reset_tuning.data.sources.addresses import fetch_urls
from reset_tuning.data.sources.hub import fetch_hub
from reset_tuning.data.sources.local import link_local
from reset_tuning.errors import InputError
from reset_tuning.files import atomic_path, sha256_of

_logger = logging.getLogger(__name__)
_FETCHERS = {"hub": fetch_hub, "url": fetch_urls, "local": link_local}


def fetch(
    manifest: Path,
    dataset: str,
    source: Mapping[str, Any],
    licence: str | None = None,
    access: str | None = None,
) -> None:
    """Bring a dataset's raw files into the manifest's folder and write the manifest.

    source: the dataset's `source` in the config: {type, files: {split: […]}, …}.
    access: what to accept or where to register, as errors say it.
    Raises InputError when files cannot be had, with what to do about it.
    """
    kind = source.get("type")
    if kind not in _FETCHERS:
        raise InputError(
            f"datasets.{dataset}.source.type is {kind!r}; allowed are {', '.join(_FETCHERS)}"
        )
    folder = manifest.parent
    folder.mkdir(parents=True, exist_ok=True)
    try:
        fetched = _FETCHERS[kind](folder, dataset, source)
    except InputError as error:
        if not access:
            raise
        raise InputError(f"{error}. To get it: {access}") from error
    files = [
        _described(path, folder, split) for split, paths in fetched.files.items() for path in paths
    ]
    content = {
        "dataset": dataset,
        "source": fetched.source,
        "revision": fetched.revision,
        "licence": licence,
        "files": [asdict(file) for file in files],
    }
    with atomic_path(manifest) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n")
    _logger.info("%s: %d files, %d bytes", dataset, len(files), sum(file.bytes for file in files))


def _described(path: Path, folder: Path, split: str) -> RawFile:
    relative = path.relative_to(folder).as_posix()
    return RawFile(relative, split, sha256_of(path), path.stat().st_size, written_at(path))
