"""Raw files of the miniature world, in the official raw format of each of the 13 sources.

`sizes` counts usable rows. Rows that a named filter of the data stage drops come on top: a small
share of every source is dirty in the ways in which the real one is, but no file is malformed.
Each row is drawn from its own seed: (seed, dataset, split, index).
"""

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from reset_tuning.errors import InputError
from reset_tuning.files import atomic_path, sha256_of
from reset_tuning.mini import raw_contexts, raw_instructions
from reset_tuning.mini.people import NOISE, SOURCES
from reset_tuning.mini.raw_rows import RawSplit

_LOG = logging.getLogger(__name__)
SPLITS = ("train", "test")
SOURCE = "miniature world"
REVISION = "1"
LICENCE = "Apache-2.0"

_WRITERS: Mapping[str, Callable[[RawSplit], list[Path]]] = {
    "dolly": raw_instructions.write_dolly,
    "sharegpt": raw_instructions.write_sharegpt,
    "self_instruct": raw_instructions.write_self_instruct,
    "oasst1": raw_instructions.write_oasst1,
    "alpaca": raw_instructions.write_alpaca,
    "vicuna_eval": raw_instructions.write_vicuna_eval,
    "koala_eval": raw_instructions.write_koala_eval,
    "nq": raw_contexts.write_nq,
    "bioasq": raw_contexts.write_bioasq,
    "searchqa": raw_contexts.write_searchqa,
    "ms_marco": raw_contexts.write_ms_marco,
    "cnn_dailymail": raw_contexts.write_cnn_dailymail,
    "wikisum": raw_contexts.write_wikisum,
}
DATASETS = tuple(_WRITERS)
# Every training instruction belongs to one of the training sources (mini.people): none to these.
TEST_ONLY = ("alpaca", "vicuna_eval", "koala_eval")


@dataclass(frozen=True)
class RawFile:
    """One raw file of a dataset."""

    path: Path
    split: str


def write_raw(
    manifest: Path, dataset: str, noise: str, seed: int, sizes: Mapping[str, int]
) -> None:
    """Write one dataset's raw files beside `manifest`, and the manifest last.

    `sizes` gives the usable rows of `train` and `test`; a split without rows is not written.
    Raises InputError for an unknown dataset, noise or split.
    """
    _check(dataset, noise, sizes)
    folder = manifest.parent
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for split in SPLITS:
        if sizes.get(split, 0) > 0:
            part = RawSplit(folder, dataset, split, sizes[split], seed, NOISE[noise])
            files += [RawFile(path, split) for path in _WRITERS[dataset](part)]
    _LOG.info("%s: %d files with %s usable rows", dataset, len(files), dict(sizes))
    _write_manifest(manifest, dataset, noise, seed, files)


def _check(dataset: str, noise: str, sizes: Mapping[str, int]) -> None:
    """Raise InputError for an argument that the world does not know."""
    if dataset not in _WRITERS:
        allowed = ", ".join(DATASETS)
        raise InputError(f"the miniature world has no dataset {dataset!r}; it has {allowed}")
    if noise not in NOISE:
        raise InputError(f"noise {noise!r} is unknown; allowed are {', '.join(NOISE)}")
    unknown = sorted(set(sizes) - set(SPLITS))
    if unknown:
        raise InputError(f"sizes of {dataset}: no split {unknown[0]!r}; allowed are train, test")
    if dataset in TEST_ONLY and sizes.get("train", 0) > 0:
        raise InputError(
            f"sizes of {dataset}: the miniature world has no train split of it; the instruction "
            f"sets that it can train on are {', '.join(sorted(SOURCES))}"
        )


def _write_manifest(
    manifest: Path, dataset: str, noise: str, seed: int, files: list[RawFile]
) -> None:
    """Write what the files are, with their sizes and digests."""
    content = {
        "dataset": dataset,
        "source": SOURCE,
        "revision": f"{REVISION}, noise {noise}, seed {seed}",
        "licence": LICENCE,
        "files": [
            {
                "path": file.path.relative_to(manifest.parent).as_posix(),
                "split": file.split,
                "sha256": sha256_of(file.path),
                "bytes": file.path.stat().st_size,
            }
            for file in files
        ],
    }
    with atomic_path(manifest) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
