"""Files of this machine, found below $RESET_RAW_DIR and linked into the raw folder.

This module imports nothing heavy: the workflow asks it for files while it builds its graph.
"""

import hashlib
import itertools
import json
import logging
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from reset_tuning.data.manifests import read_manifest, written_at
from reset_tuning.data.sources.common import (
    OWN_NAMES,
    Fetched,
    in_the_way,
    is_own,
    listed_patterns,
    refuse_shared,
)
from reset_tuning.errors import InputError
from reset_tuning.files import sha256_of

_logger = logging.getLogger(__name__)

RAW_DIR_VARIABLE = "RESET_RAW_DIR"


def local_files(dataset: str, source: Mapping[str, Any]) -> dict[str, list[Path]]:
    """Return the files of a `local` source by split, sorted.

    They are looked for in $RESET_RAW_DIR/<source.directory> by the glob patterns of each split; a
    pattern that starts with "!" takes files out again. The folder may be the raw folder itself:
    OWN_NAMES and the hub client's .cache are no data. Raises InputError when the variable is not
    set, the folder is missing, a pattern is none for files below it, a name is not UTF-8, a split
    has no file or two splits share one.
    """
    folder = _local_folder(dataset, source)
    patterns = listed_patterns(dataset, source)
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
    refuse_shared(dataset, files)
    return files


def local_state(dataset: str, source: Mapping[str, Any], manifest: Path) -> dict[str, str]:
    """Return for each split of a `local` source how many files it has, and a digest of them.

    The digest is that of their names below the source's folder, bytes and ages: a folder of the
    same files elsewhere is the same, and one unpacked over another is not, though its files may be
    older. Where $RESET_RAW_DIR is not set, what was fetched is taken for what is there. Raises as
    `local_files`.
    """
    if not os.environ.get(RAW_DIR_VARIABLE) and manifest.exists():
        known = [(f.split, f.path, f.bytes, f.fetched) for f in read_manifest(manifest)]
    else:
        folder = _local_folder(dataset, source)
        known = [
            (split, path.relative_to(folder).as_posix(), path.stat().st_size, written_at(path))
            for split, paths in local_files(dataset, source).items()
            for path in paths
        ]
    listings: dict[str, list[str]] = {}
    for split, *file in known:
        listings.setdefault(split, []).append(json.dumps(file))
    return {
        split: f"{len(files)} files, {hashlib.sha256(''.join(files).encode()).hexdigest()}"
        for split, files in listings.items()
    }


def link_local(folder: Path, dataset: str, source: Mapping[str, Any]) -> Fetched:
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
            raise in_the_way(link, dataset, path)
        return link
    try:
        link.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:  # a file where a folder is needed
        raise in_the_way(link.parent, dataset, path) from error
    link.symlink_to(path.resolve())
    return link


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
    listed = itertools.chain.from_iterable(listed_patterns(dataset, source).values())
    return ", ".join(dict.fromkeys(listed))


def _matching(folder: Path, patterns: Iterable[str], where: str) -> list[Path]:
    """Return the files that match a pattern and none of those with a "!" in front, each once."""
    wanted: set[Path] = set()
    refused: set[Path] = set()
    for pattern in patterns:
        paths = refused if pattern.startswith("!") else wanted
        paths.update(_glob(folder, pattern.removeprefix("!"), where))
    found = sorted(wanted - refused)
    for path in found:
        _check(path, folder, where)
    return _each_once(found, folder)


def _check(path: Path, folder: Path, where: str) -> None:
    """Raise InputError for a link to nothing, or a name that cannot be written down."""
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


def _each_once(paths: Iterable[Path], folder: Path) -> list[Path]:
    """Return one of several paths to the same file: the one without a link, or the first."""
    real = folder.resolve()
    once: dict[Path, Path] = {}
    for path in paths:
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
        if (path.is_file() or _leads_nowhere(path)) and not is_own(path, folder)
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
