"""The files of a checkpoint and how they reach their places."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from reset_tuning.files import flush

MODEL_FILES = {
    "model": "model.safetensors",
    "config": "config.json",
    "tokenizer": "tokenizer.json",
    "tokenizer_config": "tokenizer_config.json",
}
_BEST = "best-"


def make_readable(directory: Path) -> None:
    """Give a checkpoint's files the mode that the umask asks for; safetensors writes 0600."""
    umask = os.umask(0)
    os.umask(umask)
    for name in MODEL_FILES.values():
        (directory / name).chmod(0o666 & ~umask)


def link_checkpoint(source: Path, target: Path) -> None:
    """Give a checkpoint's files second names: hard links, or copies where those cannot be made."""
    target.mkdir(parents=True, exist_ok=True)
    for name in MODEL_FILES.values():
        (target / name).unlink(missing_ok=True)
        link_file(source / name, target / name)


def publish(files: Mapping[Path, Path]) -> None:
    """Give finished files their declared names; the first names stay until all have a second.

    A job that is killed meanwhile has lost nothing: Snakemake removes what is declared, and the
    next job publishes again.
    """
    for source, target in files.items():
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        link_file(source, target)
    flush(*files.values(), *{target.parent for target in files.values()})


def link_file(source: Path, target: Path) -> None:
    """Give a file a second name: a hard link, or a copy where none can be made."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def best_directory(output: Path, step: int) -> Path:
    """Return where the weights of a step are kept while they may be the best."""
    return output / f"{_BEST}{step}"


def remove_all_but(output: Path, steps: set[int | None]) -> None:
    """Remove the weights of all steps but these."""
    kept = {f"{_BEST}{step}" for step in steps}
    for directory in output.glob(f"{_BEST}*"):
        if directory.name not in kept:
            shutil.rmtree(directory)
