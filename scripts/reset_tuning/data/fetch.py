"""Fetching raw files: the Hugging Face hub, plain addresses, or a folder of this machine.

Whatever the source, a dataset's raw folder holds the files and a manifest.json that says where they
came from, which split each belongs to, and their digests. A file that is in the way there and that
no fetch wrote is an error; it is neither replaced nor removed. This module imports nothing heavy,
so that the workflow can ask it for local files while it builds its graph.
"""

import fnmatch
import http.client
import json
import logging
import os
import re
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

from reset_tuning.data.rows import BOM
from reset_tuning.errors import InputError
from reset_tuning.files import atomic_path, sha256_of

_logger = logging.getLogger(__name__)

RAW_DIR_VARIABLE = "RESET_RAW_DIR"
TOKEN_VARIABLE = "HF_TOKEN"  # read by the hub's client itself
ALL_SPLITS = "all"  # files whose rows are divided among the splits by a hash
# Beside the manifest; no declared outputs, so they outlive reruns.
PINNED_COMMIT, PINNED_DIGESTS = "commit.json", "digests.json"
OWN_NAMES = ("manifest.json", PINNED_COMMIT, PINNED_DIGESTS)  # of a raw folder, so never data
SOURCE_TYPES = ("hub", "url", "local")
# Below a raw folder: the hub client's record (<file>.metadata) of every file that it has fetched.
_HUB_RECORDS = Path(".cache/huggingface/download")
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


def _is_own(path: Path, folder: Path) -> bool:
    """Say whether a file in a raw folder is this module's or the hub client's, and no data."""
    relative = path.relative_to(folder)
    return (
        relative.as_posix() in OWN_NAMES
        or ".cache" in relative.parts
        or fnmatch.fnmatch(path.name, ".*.partial")  # of a write that was killed
    )


def _in_the_way(path: Path, dataset: str, origin: object) -> InputError:
    return InputError(
        f"dataset {dataset}: {path} is in the way of {origin} (datasets.{dataset}.source.files), "
        "but was not fetched from there; move it away, or delete it if nobody needs it"
    )


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
    pattern that starts with "!" takes files out again. The folder may be the raw folder itself:
    OWN_NAMES and the hub client's .cache are no data. Raises InputError when the variable is not
    set, the folder is missing, a pattern is none for files below it, a name is not UTF-8, a split
    has no file or two splits share one.
    """
    folder = _local_folder(dataset, source)
    patterns = _patterns(dataset, source)
    files = {
        split: _matching(folder, listed, f"datasets.{dataset}.source.files.{split}")
        for split, listed in patterns.items()
    }
    for split, paths in files.items():
        if not paths:
            raise InputError(
                f"dataset {dataset}: no file for split {split} in {folder} matches "
                f"{', '.join(patterns[split])} ({', '.join(OWN_NAMES)} do not count); put one "
                f"there, change datasets.{dataset}.source.files, or leave the dataset out with "
                f"datasets.{dataset}.enabled: false"
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
    listed = (pattern for patterns in _patterns(dataset, source).values() for pattern in patterns)
    return ", ".join(dict.fromkeys(listed))


def _files(dataset: str, source: Mapping[str, Any]) -> Mapping[str, Any]:
    files = source.get("files")
    if not files:
        raise InputError(f"datasets.{dataset}.source.files names no files")
    return files


def _patterns(dataset: str, source: Mapping[str, Any]) -> Mapping[str, list[str]]:
    """Return the patterns of every split; raise InputError for an entry that is no text."""
    files = _files(dataset, source)
    for split, listed in files.items():
        for entry in listed:
            if not isinstance(entry, str):
                raise InputError(
                    f"datasets.{dataset}.source.files.{split}: {entry!r} is no pattern of file "
                    f"names, as a source of type {source.get('type')} has; write one such as *.json"
                )
    return files


def _matching(folder: Path, patterns: Iterable[str], where: str) -> list[Path]:
    """Return the files that match a pattern and none of those with a "!" in front.

    Of several paths to one file the one without a link stays, or the first: it is read once. Raises
    InputError for a link to nothing.
    """
    wanted: set[Path] = set()
    refused: set[Path] = set()
    for pattern in patterns:
        paths = refused if pattern.startswith("!") else wanted
        paths.update(_glob(folder, pattern.removeprefix("!"), where))
    found = wanted - refused
    for path in found:
        name = str(path.relative_to(folder))
        if name.encode(errors="replace").decode() != name:
            raise InputError(
                f"{where}: a file below {folder} has a name that is not UTF-8, {name!a}; rename it"
            )
        if _leads_nowhere(path):
            raise InputError(
                f"{where}: {path} is a link to {os.readlink(path)}, where no file is; mend or "
                f"delete it, or leave it out with the pattern !{name}"
            )
    real = folder.resolve()
    once: dict[Path, Path] = {}
    for path in sorted(found):
        target = path.resolve()
        if target not in once or target == real / path.relative_to(folder):
            once[target] = path
    return sorted(once.values())


def _glob(folder: Path, pattern: str, where: str) -> list[Path]:
    try:
        if ".." in Path(pattern).parts:
            raise ValueError("its links would lie in another raw folder")
        # Without a wildcard a name does not match a link to nothing.
        wild = re.sub(r"(\*\*/)(\w)([^/]*)$", r"\1[\2]\3", pattern)
        paths = {*_through_links(folder, wild, set()), folder / pattern}
    except (IndexError, NotImplementedError, ValueError) as error:
        raise InputError(
            f"{where}: {pattern!r} is no pattern of files below {folder}; write one such as "
            "*.json or **/train*.jsonl, without .. and without a / in front"
        ) from error
    return [
        path
        for path in paths
        if (path.is_file() or _leads_nowhere(path)) and not _is_own(path, folder)
    ]


def _leads_nowhere(path: Path) -> bool:
    return path.is_symlink() and not path.exists()


def _through_links(folder: Path, pattern: str, searched: set[tuple[Path, str]]) -> Iterator[Path]:
    """Yield what matches a pattern; its `**` goes into linked folders too, unlike in `Path.glob`.

    searched: folders and what was looked for in them. A folder that several links lead to, or one
    in a circle, is searched once.
    """
    searched.add((folder.resolve(), pattern))
    yield from folder.glob(pattern)
    for star in re.finditer(r"\*\*", pattern):
        rest = pattern[star.start() :]
        for link in sorted(folder.glob(f"{pattern[: star.start()]}**/*")):
            is_folder = link.is_symlink() and link.is_dir()
            if is_folder and (link.resolve(), rest) not in searched:
                yield from _through_links(link, rest, searched)


def _refuse_shared(dataset: str, files: Mapping[str, list[Path]]) -> None:
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


def _link_local(folder: Path, dataset: str, source: Mapping[str, Any]) -> Fetched:
    """Link the files found into the raw folder, under their paths in the local one."""
    root = _local_folder(dataset, source)
    left_out = [name for name in OWN_NAMES if (root / name).is_file()]
    if left_out and not root.samefile(folder):
        _logger.warning(
            "%s: %s in %s is not read, since the raw folder keeps that name for itself; rename it "
            "if it holds data",
            dataset,
            ", ".join(left_out),
            root,
        )
    files: dict[str, list[Path]] = {}
    for split, paths in local_files(dataset, source).items():
        files[split] = [_linked(path, folder / path.relative_to(root), dataset) for path in paths]
    return Fetched(files, f"local:{source.get('directory', dataset)}")


def _linked(path: Path, link: Path, dataset: str) -> Path:
    """Return a link to a file, or what lies there already if it is the file itself or a copy."""
    if link.exists() and link.samefile(path):
        return link
    if link.is_symlink():  # of an earlier fetch; the file behind it stays
        link.unlink()
    elif link.exists():
        if not link.is_file() or sha256_of(link) != sha256_of(path):
            raise _in_the_way(link, dataset, path)
        return link
    try:
        link.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:  # a file where a folder is needed
        raise _in_the_way(link.parent, dataset, path) from error
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
            _write_pins(folder / PINNED_DIGESTS, pins)
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
                raise _in_the_way(path, dataset, url)
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


# --- the Hugging Face hub -------------------------------------------------------------------------


def _fetch_hub(folder: Path, dataset: str, source: Mapping[str, Any]) -> Fetched:
    """Download the files of a hub dataset that match the patterns, at one commit.

    Without a `revision` in the config the commit of the first fetch is the pin of all later ones.
    """
    from huggingface_hub import HfApi, snapshot_download

    identifier = source["id"]
    patterns = _patterns(dataset, source)
    every = [pattern for listed in patterns.values() for pattern in listed]
    pinned = _pinned_commit(folder, identifier)
    with _hub_errors(dataset, identifier):
        asked = source.get("revision") or pinned
        commit = HfApi().dataset_info(identifier, revision=asked).sha
    _make_way(folder, every, dataset, identifier, is_moved=commit != pinned)
    # Before the download, so that one cut short is resumed.
    _write_pins(folder / PINNED_COMMIT, {"id": identifier, "commit": commit})
    with _hub_errors(dataset, identifier):
        snapshot_download(
            identifier,
            repo_type="dataset",
            revision=commit,
            allow_patterns=every,
            ignore_patterns=list(OWN_NAMES),
            local_dir=folder,
        )
    for path in _hub_files(folder, every):
        # Not before: the client completes the record of a download that was stopped.
        if not _is_recorded(path, folder):
            raise _in_the_way(path, dataset, f"hub:{identifier}")
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


def _make_way(
    folder: Path, patterns: Iterable[str], dataset: str, identifier: str, *, is_moved: bool
) -> None:
    """Remove links, and the files of the commit before when the commit has moved; refuse others.

    What lies there would be listed as the new commit's, and the hub's client replaces it or writes
    through the link of a local source.
    """
    for path in _hub_files(folder, patterns):
        if path.is_symlink() or (is_moved and _is_recorded(path, folder)):
            path.unlink()
        elif is_moved:
            raise _in_the_way(path, dataset, f"hub:{identifier}")


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


def _is_recorded(path: Path, folder: Path) -> bool:
    return (folder / _HUB_RECORDS / f"{path.relative_to(folder)}.metadata").exists()


def _hub_files(folder: Path, patterns: Iterable[str]) -> list[Path]:
    """Return the downloaded files that match some pattern as the hub matches them, sorted."""
    paths = [path for path in folder.rglob("*") if not path.is_dir() and not _is_own(path, folder)]
    return [
        path
        for path in sorted(paths)
        if any(
            fnmatch.fnmatch(path.relative_to(folder).as_posix(), pattern) for pattern in patterns
        )
    ]
