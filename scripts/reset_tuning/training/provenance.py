"""Where a checkpoint came from: inputs, settings, code, packages, machine, cost."""

import importlib.metadata
import json
import platform
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from reset_tuning.files import sha256_of
from reset_tuning.training.settings import TrainingJob

_PACKAGES = ("torch", "transformers", "accelerate", "deepspeed", "datasets", "tokenizers")


def describe_training(
    job: TrainingJob, report: dict[str, Any], base: Iterable[Path]
) -> dict[str, Any]:
    """Return the content of provenance.json: what was trained, on what, by what, at what cost.

    `report` is what the training says of itself; `base` are the base checkpoint's files, none for
    a model of the hub.
    """
    inputs = [Path(job.settings), Path(job.train), Path(job.validation), *base]
    return {
        "run": job.run,
        "seed": job.seed,
        "base": job.base,
        "settings": json.loads(Path(job.settings).read_text()),
        "inputs": {str(path): sha256_of(path) for path in inputs},
        "training": report,
        "packages": {name: importlib.metadata.version(name) for name in _PACKAGES},
        "python": platform.python_version(),
        "machine": platform.machine(),
        "git_commit": git_commit(Path(__file__).parent),
    }


def git_commit(directory: Path) -> str | None:
    """Return the commit of the repository around a directory, "-dirty" when changed, or None."""
    commit = _git(directory, "rev-parse", "HEAD")
    if commit is None:
        return None
    changed = _git(directory, "status", "--porcelain", "--untracked-files=no")
    return f"{commit}-dirty" if changed else commit


def _git(directory: Path, *arguments: str) -> str | None:
    """Return a git command's output, or None without git or a repository."""
    command = ["git", "-C", str(directory), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
