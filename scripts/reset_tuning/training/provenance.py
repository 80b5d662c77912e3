"""Where a checkpoint came from: inputs, settings, code, packages, machine, cost."""

import importlib.metadata
import platform
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from reset_tuning.files import sha256_of

_PACKAGES = ("torch", "transformers", "accelerate", "deepspeed", "datasets", "tokenizers")


def describe_training(
    *,
    run: str,
    seed: int,
    base: str,
    inputs: Iterable[Path],
    settings: dict[str, Any],
    report: dict[str, Any],
    wall_seconds: float,
) -> dict[str, Any]:
    """Return the content of provenance.json; `report` is what the training says of itself."""
    return {
        "run": run,
        "seed": seed,
        "base": base,
        "settings": settings,
        "inputs": {str(path): sha256_of(path) for path in inputs},
        "training": report,
        "wall_seconds": round(wall_seconds, 3),
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
