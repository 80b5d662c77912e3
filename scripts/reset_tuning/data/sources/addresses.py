"""Files of plain addresses, each downloaded whole and pinned by its digest."""

import http.client
import logging
import shutil
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reset_tuning.data.rows import BOM
from reset_tuning.data.sources.common import (
    PINNED_DIGESTS,
    Fetched,
    in_the_way,
    listed_files,
    read_pins,
    write_pins,
)
from reset_tuning.errors import InputError
from reset_tuning.files import atomic_path, sha256_of

_logger = logging.getLogger(__name__)
_TIMEOUT_S = 60


def fetch_urls(folder: Path, dataset: str, source: Mapping[str, Any]) -> Fetched:
    """Download every file of a `url` source: {split: [{url, sha256?}]}.

    Without a `sha256` in the config the digest of an address's first fetch is the pin of all later
    ones.
    """
    files: dict[str, list[Path]] = {}
    owner: dict[Path, str] = {}
    pins = read_pins(folder / PINNED_DIGESTS, "accept what the addresses hold now")
    for split, entries in listed_files(dataset, source).items():
        for entry in entries:
            name = _saved_name(entry, dataset, split)
            url, path = entry["url"], folder / split / name
            for other in owner:
                # Not by their paths: some file systems take A.json and a.json for one name.
                if path.exists() and path.samefile(other):
                    raise InputError(
                        f"datasets.{dataset}.source.files.{split}: {owner[other]} and {url} would "
                        f"both be saved as {name}; download them under two names and use "
                        f"datasets.{dataset}.source.type: local"
                    )
            owner[path] = url
            pins[url] = _download(url, path, dataset, entry.get("sha256"), pins)
            write_pins(folder / PINNED_DIGESTS, pins)
            files.setdefault(split, []).append(path)
    return Fetched(files, " ".join(owner.values()))


def _saved_name(entry: Any, dataset: str, split: str) -> str:
    """Return the last part of an entry's address; raise InputError when that names no file."""
    try:
        name = Path(urllib.parse.urlparse(entry["url"]).path).name
    except (AttributeError, KeyError, TypeError, ValueError):
        name = ""
    if name in ("", "..") or not name.isprintable():
        raise InputError(
            f"datasets.{dataset}.source.files.{split}: {entry!r} has no address that ends in the "
            f"name of a file; write {{url: https://…/name.json}}, or download the file and use "
            f"datasets.{dataset}.source.type: local"
        )
    return name


def _download(
    url: str, path: Path, dataset: str, sha256: str | None, pins: Mapping[str, str]
) -> str:
    """Stream one address to a file, whole and with the expected digest or not at all.

    That is the `sha256` of the config, or else the one that `pins` has from an earlier fetch. A
    file that is there already and has it is left alone. Returns the digest.
    """
    pinned = pins.get(url)
    expected = sha256.lower() if sha256 else pinned
    if expected and path.exists() and sha256_of(path) == expected:
        return expected
    _logger.info("%s: fetching %s", dataset, url)
    with atomic_path(path) as temporary:
        _stream(url, temporary, dataset)
        found = sha256_of(temporary)
        if sha256 and found != expected:
            raise InputError(
                f"dataset {dataset}: {url} does not have the sha256 of the config ({sha256}); "
                "the file has changed since"
            )
        if expected and found != expected:
            raise InputError(
                f"dataset {dataset}: {url} has changed since it was first fetched (sha256 "
                f"{expected} then, {found} now); to accept it, set its sha256 in "
                f"datasets.{dataset}.source.files or delete {path.parents[1] / PINNED_DIGESTS}"
            )
        if not pinned and path.is_file() and not path.is_symlink():
            # Put there by hand, unless an address that this one stands in for had that content.
            known = {found, *pins.values()}
            if sha256_of(path) not in known:
                raise in_the_way(path, dataset, url)
    return found


def _stream(url: str, path: Path, dataset: str) -> None:
    """Write what an address gives; raise InputError unless it is whole and may be data."""
    try:
        with (
            urllib.request.urlopen(url, timeout=_TIMEOUT_S) as response,
            path.open("wb") as out,
        ):
            shutil.copyfileobj(response, out, 1 << 20)
            told = response.headers.get("Content-Length")
            length = None if told is None else int(told)
    except (urllib.error.URLError, http.client.HTTPException, OSError, ValueError) as error:
        raise InputError(
            f"dataset {dataset}: {url} could not be fetched ({error}); check the network, or "
            f"use a local copy with datasets.{dataset}.source.type: local"
        ) from error
    size = path.stat().st_size
    if length is not None and size != length:
        raise InputError(f"dataset {dataset}: {url} broke off at {size} of {length} bytes")
    if (fault := _no_data(path)) is not None:
        raise InputError(
            f"dataset {dataset}: {url} gave {fault} instead of a data file; open it in a "
            f"browser and correct the address in datasets.{dataset}.source.files, or fetch "
            "again later"
        )


def _no_data(path: Path) -> str | None:
    """Say what a download is that must not be pinned as data, or None."""
    with path.open("rb") as stream:
        begin = stream.read(1 << 20).removeprefix(BOM).lstrip()
    if begin.startswith(b"<"):
        return "a web page"
    return None if begin else "nothing"
