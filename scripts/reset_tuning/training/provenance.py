"""Where a checkpoint came from: inputs, settings, code, packages, machine, cost."""

import hashlib
import importlib.metadata
import json
import platform
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from reset_tuning.environment import git_commit
from reset_tuning.files import sha256_of
from reset_tuning.training.settings import TrainingJob

_PACKAGES = ("torch", "transformers", "accelerate", "deepspeed", "datasets", "tokenizers")


def training_identity(job: TrainingJob, base: Iterable[Path]) -> dict[str, Any]:
    """Return all that decides what a training learns, on one geometry.

    `base` are the base checkpoint's files and the DeepSpeed configuration; a model of the hub
    stands for itself. Files count by their content.
    """
    inputs = [Path(job.train), Path(job.validation), *base]
    return {
        "run": job.run,
        "seed": job.seed,
        "base": job.base,
        "settings": json.loads(Path(job.settings).read_text()),
        "inputs": {str(path): sha256_of(path) for path in inputs},
    }


def describe_start(nodes: int) -> dict[str, Any]:
    """Return with what code, packages and machines a training starts or goes on."""
    return {
        "git_commit": git_commit(Path(__file__).parent),
        "packages": {name: importlib.metadata.version(name) for name in _PACKAGES},
        "python": platform.python_version(),
        "machine": platform.machine(),
        "host": platform.node(),
        "nodes": nodes,
    }


def describe_training(
    identity: Mapping[str, Any], report: Mapping[str, Any], starts: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Return the content of provenance.json: what was trained, on what, by what, at what cost.

    `report` is what the training says of itself. `starts` has an entry for each job that trained:
    the code and the packages of an interrupted training may have changed on the way.
    """
    settings = json.dumps(identity["settings"], sort_keys=True)
    return {
        **identity,
        "settings_sha256": hashlib.sha256(settings.encode()).hexdigest(),
        "training": report,
        "starts": starts,
    }
