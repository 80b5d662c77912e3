"""Fetching raw files: the Hugging Face hub, plain addresses, or a folder of this machine.

Whatever the source, a dataset's raw folder holds the files and a manifest.json that says where they
came from, which split each belongs to, and their digests. This module imports nothing heavy, so
that the workflow can ask it for local files while it builds its graph.
"""

import fnmatch
import http.client
import json
import logging
import os
import shutil
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from reset_tuning.errors import InputError
from reset_tuning.files import atomic_path, sha256_of

_logger = logging.getLogger(__name__)

RAW_DIR_VARIABLE = "RESET_RAW_DIR"
TOKEN_VARIABLE = "HF_TOKEN"  # read by the hub's client itself
ALL_SPLITS = "all"  # files whose rows are divided among the splits by a hash
# Beside the manifest; no declared outputs, so they outlive reruns.
PINNED_COMMIT, PINNED_DIGESTS = "commit.json", "digests.json"
SOURCE_TYPES = ("hub", "url", "local")
_TIMEOUT_S = 60


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


@dataclass(frozen=True)
class Fetched:
    """The files of each split below the raw folder, and how to name where they came from."""

    files: dict[str, list[Path]]
    source: str
    revision: str | None = None


def fetch(manifest: Path, dataset: str, source: Mapping[str, Any]) -> None:
    """Bring a dataset's raw files into the manifest's folder and write the manifest.

    `source` is the dataset's `source` in the config: {type, files: {split: […]}, licence, …}.
    Raises InputError when files cannot be had, with what to do about it: the source's own
    `access` sentence, if it has one, says what to accept or where to register.
    """
    fetchers = {"hub": _fetch_hub, "url": _fetch_urls, "local": _link_local}
    kind = source.get("type")
    if kind not in fetchers:
        raise InputError(
            f"datasets.{dataset}.source.type is {kind!r}; allowed are {', '.join(SOURCE_TYPES)}"
        )
    folder = manifest.parent
    folder.mkdir(parents=True, exist_ok=True)
    try:
        fetched = fetchers[kind](folder, dataset, source)
    except InputError as error:
        raise _with_access(error, source) from error
    files = [
        _described(path, folder, split) for split, paths in fetched.files.items() for path in paths
    ]
    content = {
        "dataset": dataset,
        "source": fetched.source,
        "revision": fetched.revision,
        "licence": source.get("licence"),
        "files": [asdict(file) for file in files],
    }
    with atomic_path(manifest) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n")
    _logger.info("%s: %d files, %d bytes", dataset, len(files), sum(file.bytes for file in files))


def _with_access(error: InputError, source: Mapping[str, Any]) -> InputError:
    access = source.get("access")
    return InputError(f"{error}. To get it: {access}") if access else error


def read_manifest(manifest: Path) -> list[RawFile]:
    """Return a manifest's files; raise InputError when it is missing or not a manifest."""
    try:
        return [RawFile(**file) for file in json.loads(manifest.read_text())["files"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{manifest} is not a readable manifest: {error}; fetch again") from error


def _described(path: Path, folder: Path, split: str) -> RawFile:
    relative = path.relative_to(folder).as_posix()
    status = path.stat()
    fetched = datetime.fromtimestamp(status.st_mtime, UTC).isoformat(timespec="seconds")
    return RawFile(relative, split, sha256_of(path), status.st_size, fetched)


def _read_pins(path: Path, purpose: str) -> dict[str, str]:
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


def _write_pins(path: Path, pins: Mapping[str, str]) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(pins, indent=2) + "\n")


# --- files of this machine ------------------------------------------------------------------------


def local_files(dataset: str, source: Mapping[str, Any]) -> dict[str, list[Path]]:
    """Return the files of a `local` source by split, sorted.

    They are looked for in $RESET_RAW_DIR/<source.directory> by the glob patterns of each split; a
    pattern that starts with "!" takes files out again. Raises InputError when the variable is not
    set, the folder is missing, a split has no file or two splits share one.
    """
    folder = _local_folder(dataset, source)
    files = {
        split: _matching(folder, patterns) for split, patterns in _files(dataset, source).items()
    }
    for split, paths in files.items():
        if not paths:
            patterns = ", ".join(source["files"][split])
            raise InputError(
                f"dataset {dataset}: no file for split {split} in {folder} matches {patterns}; "
                f"put one there, change datasets.{dataset}.source.files, or leave the dataset out "
                f"with datasets.{dataset}.enabled: false"
            )
    _refuse_shared(dataset, files)
    return files


def _local_folder(dataset: str, source: Mapping[str, Any]) -> Path:
    root = os.environ.get(RAW_DIR_VARIABLE)
    directory = source.get("directory", dataset)
    if not root:
        raise InputError(
            f"dataset {dataset} is read from this machine, but {RAW_DIR_VARIABLE} is not set: set "
            f"{RAW_DIR_VARIABLE} to the folder that holds {directory}/ (it should hold files that "
            f"match {_all_patterns(dataset, source)}), or leave the dataset out with "
            f"datasets.{dataset}.enabled: false"
        )
    folder = Path(root).resolve() / directory
    if not folder.is_dir():
        raise InputError(
            f"dataset {dataset}: the folder {folder} does not exist; it should hold files that "
            f"match {_all_patterns(dataset, source)}: create it, correct {RAW_DIR_VARIABLE}, or "
            f"leave the dataset out with datasets.{dataset}.enabled: false"
        )
    return folder


def _all_patterns(dataset: str, source: Mapping[str, Any]) -> str:
    """Return the patterns of all splits, each once, as an error names them."""
    listed = (pattern for patterns in _files(dataset, source).values() for pattern in patterns)
    return ", ".join(dict.fromkeys(listed))


def _files(dataset: str, source: Mapping[str, Any]) -> Mapping[str, Any]:
    files = source.get("files")
    if not files:
        raise InputError(f"datasets.{dataset}.source.files names no files")
    return files


def _matching(folder: Path, patterns: Iterable[str]) -> list[Path]:
    """Return the files that match a pattern and none of those with a "!" in front."""
    wanted: set[Path] = set()
    refused: set[Path] = set()
    for pattern in patterns:
        paths = refused if pattern.startswith("!") else wanted
        paths.update(path for path in folder.glob(pattern.removeprefix("!")) if path.is_file())
    return sorted(wanted - refused)


def _refuse_shared(dataset: str, files: Mapping[str, list[Path]]) -> None:
    """Raise InputError when a file is in two splits: its test rows would be trained on."""
    owner: dict[Path, str] = {}
    for split, paths in files.items():
        for path in paths:
            if path in owner:
                raise InputError(
                    f"dataset {dataset}: {path.name} matches the patterns of both {owner[path]} "
                    f"and {split}; list it once, under {ALL_SPLITS} to divide its rows"
                )
            owner[path] = split


def _link_local(folder: Path, dataset: str, source: Mapping[str, Any]) -> Fetched:
    """Link the files found into the raw folder, under their paths in the local one."""
    root = _local_folder(dataset, source)
    files: dict[str, list[Path]] = {}
    for split, paths in local_files(dataset, source).items():
        files[split] = [_linked(path, folder / path.relative_to(root)) for path in paths]
    return Fetched(files, f"local:{source.get('directory', dataset)}")


def _linked(path: Path, link: Path) -> Path:
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(path.resolve())
    return link


# --- plain addresses ------------------------------------------------------------------------------


def _fetch_urls(folder: Path, dataset: str, source: Mapping[str, Any]) -> Fetched:
    """Download every file of a `url` source: {split: [{url, sha256?}]}.

    Without a `sha256` in the config the digest of an address's first fetch is the pin of all later
    ones.
    """
    files: dict[str, list[Path]] = {}
    owner: dict[Path, str] = {}
    pins = _read_pins(folder / PINNED_DIGESTS, "accept what the addresses hold now")
    for split, entries in _files(dataset, source).items():
        for entry in entries:
            url = entry["url"]
            path = folder / split / Path(urllib.parse.urlparse(url).path).name
            if path in owner:
                raise InputError(
                    f"datasets.{dataset}.source.files.{split}: {owner[path]} and {url} would both "
                    f"be saved as {path.name}; download them under two names and use "
                    f"datasets.{dataset}.source.type: local"
                )
            owner[path] = url
            pins[url] = _download(url, path, dataset, entry.get("sha256"), pins.get(url))
            _write_pins(folder / PINNED_DIGESTS, pins)
            files.setdefault(split, []).append(path)
    return Fetched(files, " ".join(owner.values()))


def _download(url: str, path: Path, dataset: str, sha256: str | None, pinned: str | None) -> str:
    """Stream one address to a file, whole and with the expected digest or not at all.

    That is the `sha256` of the config, or else the one `pinned` by an earlier fetch. A file that is
    there already and has it is left alone. Returns the digest.
    """
    expected = sha256.lower() if sha256 else pinned
    if expected and path.exists() and sha256_of(path) == expected:
        return expected
    _logger.info("%s: fetching %s", dataset, url)
    with atomic_path(path) as temporary:
        try:
            with (
                urllib.request.urlopen(url, timeout=_TIMEOUT_S) as response,
                temporary.open("wb") as out,
            ):
                shutil.copyfileobj(response, out, 1 << 20)
                length = response.headers.get("Content-Length")
        except (urllib.error.URLError, http.client.HTTPException, OSError, ValueError) as error:
            raise InputError(
                f"dataset {dataset}: {url} could not be fetched ({error}); check the network, or "
                f"use a local copy with datasets.{dataset}.source.type: local"
            ) from error
        size = temporary.stat().st_size
        if length is not None and size != int(length):
            raise InputError(f"dataset {dataset}: {url} broke off at {size} of {length} bytes")
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
    return found


# --- the Hugging Face hub -------------------------------------------------------------------------


def _fetch_hub(folder: Path, dataset: str, source: Mapping[str, Any]) -> Fetched:
    """Download the files of a hub dataset that match the patterns, at one commit.

    Without a `revision` in the config the commit of the first fetch is the pin of all later ones.
    """
    from huggingface_hub import HfApi, snapshot_download

    identifier = source["id"]
    patterns = _files(dataset, source)
    every = [pattern for listed in patterns.values() for pattern in listed]
    pinned = _pinned_commit(folder, identifier)
    with _hub_errors(dataset, identifier):
        asked = source.get("revision") or pinned
        commit = HfApi().dataset_info(identifier, revision=asked).sha
    if commit != pinned:
        # What an earlier fetch left would be listed as this commit's.
        for path in _hub_files(folder, every):
            path.unlink()
    # Before the download, so that one cut short is resumed.
    _write_pins(folder / PINNED_COMMIT, {"id": identifier, "commit": commit})
    with _hub_errors(dataset, identifier):
        snapshot_download(
            identifier,
            repo_type="dataset",
            revision=commit,
            allow_patterns=every,
            local_dir=folder,
        )
    if commit not in (source.get("revision"), pinned):
        _logger.warning(
            "%s: %s was read at commit %s, which later fetches keep to; to pin it for everyone, "
            "set datasets.%s.source.revision",
            dataset,
            identifier,
            commit,
            dataset,
        )
    files = {split: _hub_files(folder, listed) for split, listed in patterns.items()}
    for split, paths in files.items():
        if not paths:
            raise InputError(
                f"dataset {dataset}: the hub repository has no file that matches "
                f"{', '.join(patterns[split])}; correct datasets.{dataset}.source.files"
            )
    _refuse_shared(dataset, files)
    return Fetched(files, f"hub:{identifier}", commit)


@contextmanager
def _hub_errors(dataset: str, identifier: str) -> Iterator[None]:
    """Say in an InputError what is wrong and what to do when the hub's client fails."""
    try:
        yield
    # The errors of the client and of its HTTP library (no network, unknown or gated repository,
    # wrong revision) share no base class.
    except Exception as error:
        reason = (str(error).splitlines() or [""])[0]
        raise InputError(
            f"dataset {dataset}: hub dataset {identifier} could not be fetched "
            f"({type(error).__name__}: {reason}); {_hub_advice(error, identifier, dataset)}, or "
            f"use a local copy with datasets.{dataset}.source.type: local"
        ) from error


def _pinned_commit(folder: Path, identifier: str) -> str | None:
    """Return the commit at which the raw folder's files were fetched, if they are this dataset's.

    Raises InputError for a file that does not say so.
    """
    pins = _read_pins(folder / PINNED_COMMIT, "fetch the newest commit")
    return pins.get("commit") if pins.get("id") == identifier else None


def _hub_advice(error: Exception, identifier: str, dataset: str) -> str:
    """Say what to do about an error of the hub's client."""
    page = f"https://huggingface.co/datasets/{identifier}"
    advice = {
        "GatedRepoError": f"accept the terms on {page} and set {TOKEN_VARIABLE} to your token",
        "RepositoryNotFoundError": (
            f"check that {page} exists; for a private or gated one set {TOKEN_VARIABLE}"
        ),
        "RevisionNotFoundError": f"correct datasets.{dataset}.source.revision",
        "LocalTokenNotFoundError": f"set {TOKEN_VARIABLE} to your token",
    }
    return advice.get(type(error).__name__, "check the name, the network and your access")


def _hub_files(folder: Path, patterns: Iterable[str]) -> list[Path]:
    """Return the downloaded files that match some pattern as the hub matches them, sorted."""
    own = {folder / name for name in ("manifest.json", PINNED_COMMIT, PINNED_DIGESTS)}
    paths = [
        path
        for path in folder.rglob("*")
        if path.is_file() and ".cache" not in path.parts and path not in own
    ]
    return [
        path
        for path in sorted(paths)
        if any(
            fnmatch.fnmatch(path.relative_to(folder).as_posix(), pattern) for pattern in patterns
        )
    ]
