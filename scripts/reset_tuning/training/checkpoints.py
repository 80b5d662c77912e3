"""The files of a checkpoint and how they reach their places."""

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

MODEL_FILES = {
    "model": "model.safetensors",
    "config": "config.json",
    "tokenizer": "tokenizer.json",
    "tokenizer_config": "tokenizer_config.json",
}


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
        try:
            os.link(source / name, target / name)
        except OSError:
            shutil.copyfile(source / name, target / name)


def publish(files: Mapping[Path, Path]) -> None:
    """Move finished files to their declared places; both lie on one file system."""
    for source, target in files.items():
        target.parent.mkdir(parents=True, exist_ok=True)
        source.replace(target)


@contextmanager
def private_directory(path: Path) -> Iterator[Path]:
    """Yield an empty directory for unfinished files and remove it afterwards."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
