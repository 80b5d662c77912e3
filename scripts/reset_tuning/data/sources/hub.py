"""Files of a dataset of the Hugging Face hub, all at one commit."""

import fnmatch
import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from reset_tuning.data.sources.common import (
    OWN_NAMES,
    PINNED_COMMIT,
    Fetched,
    in_the_way,
    is_own,
    listed_patterns,
    read_pins,
    refuse_shared,
    write_pins,
)
from reset_tuning.errors import InputError

_logger = logging.getLogger(__name__)

TOKEN_VARIABLE = "HF_TOKEN"  # read by the hub's client itself
# Below a raw folder: the hub client's record (<file>.metadata) of every file that it has fetched.
_HUB_RECORDS = Path(".cache/huggingface/download")


def fetch_hub(folder: Path, dataset: str, source: Mapping[str, Any]) -> Fetched:
    """Download the files of a hub dataset that match the patterns, at one commit.

    Without a `revision` in the config the commit of the first fetch is the pin of all later ones.
    """
    from huggingface_hub import HfApi, snapshot_download

    identifier = source["id"]
    patterns = listed_patterns(dataset, source)
    every = [pattern for listed in patterns.values() for pattern in listed]
    pinned = _pinned_commit(folder, identifier)
    with _hub_errors(dataset, identifier):
        asked = source.get("revision") or pinned
        commit = HfApi().dataset_info(identifier, revision=asked).sha
    _make_way(folder, every, dataset, identifier, is_moved=commit != pinned)
    # Before the download, so that one cut short is resumed.
    write_pins(folder / PINNED_COMMIT, {"id": identifier, "commit": commit})
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
            raise in_the_way(path, dataset, f"hub:{identifier}")
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
    refuse_shared(dataset, files)
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
            raise in_the_way(path, dataset, f"hub:{identifier}")


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
    pins = read_pins(folder / PINNED_COMMIT, "fetch the newest commit")
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
    paths = [path for path in folder.rglob("*") if not path.is_dir() and not is_own(path, folder)]
    return [
        path
        for path in sorted(paths)
        if any(
            fnmatch.fnmatch(path.relative_to(folder).as_posix(), pattern) for pattern in patterns
        )
    ]
