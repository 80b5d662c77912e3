"""What a job runs in: the commit of the code, the installed packages, the machine's GPUs."""

import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

_GPU_NODES = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")
_SUFFIX = ".dist-info"


def describe_environment() -> dict[str, Any]:
    """Return the commit of this code and the versions of Python and every installed package."""
    return {
        "commit": git_commit(Path(__file__).parent),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "packages": installed_packages(),
    }


def installed_packages() -> dict[str, str]:
    """Return name → version of the packages that this process can import.

    Read from the names of the metadata folders alone: a table job has no second to spare for
    opening two hundred files.
    """
    found: dict[str, str] = {}
    for entry in map(Path, reversed(sys.path)):  # the first of equal names is the one imported
        for folder in entry.glob(f"*{_SUFFIX}") if entry.is_dir() else ():
            name, _, version = folder.name.removesuffix(_SUFFIX).partition("-")
            found[name.replace("_", "-").lower()] = version
    return dict(sorted(found.items()))


def visible_gpus() -> int:
    """Return the number of GPUs that the job sees, asking torch only where a driver is present.

    Importing torch takes seconds, which a machine without a GPU need not spend.
    """
    if not any(Path(node).exists() for node in _GPU_NODES):
        return 0
    import torch

    return torch.cuda.device_count()


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
