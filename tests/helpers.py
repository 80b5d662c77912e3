"""Shared pieces of the tests: the repository, a scratch copy of it, Snakemake as people run it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TREE = (
    "Snakefile",
    "rules",
    "scripts",
    "config.yaml",
    "config",
    "schemas",
    "resources",
    "profiles",
    "report",
    "envs",
    "requirements.lock",
)


def copy_tree(target: Path) -> Path:
    """Copy the workflow (not its results) into `target`, so that a test may change any file."""
    target.mkdir(parents=True, exist_ok=True)
    for name in TREE:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, target / name)
    (target / "slurm").symlink_to("profiles/slurm")
    return target


def run_snakemake(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
    """Run snakemake in a folder; return its exit code and its output with stderr joined."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        [sys.executable, "-m", "snakemake", *arguments],
        cwd=folder,
        env=os.environ | {"PATH": path} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=1500,
    )


def planned_jobs(output: str) -> dict[str, int]:
    """Return the job counts of a dry run by rule; empty when there is nothing to be done."""
    jobs: dict[str, int] = {}
    inside = False
    for line in output.splitlines():
        fields = line.split()
        if fields == ["job", "count"]:
            inside = True
        elif inside and len(fields) == 2 and fields[1].isdigit():
            jobs[fields[0]] = int(fields[1])
        elif inside and not fields:
            break
    jobs.pop("total", None)
    return jobs


def in_parts(model: Path, target: Path) -> Path:
    """Copy a model as hubs hold large ones: weights in two files and the list of what is where."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(model, target, ignore=shutil.ignore_patterns("*.safetensors"))
    tensors = sorted(load_file(model / "model.safetensors").items())
    where = {}
    for part in (0, 1):
        name = f"model-0000{part + 1}-of-00002.safetensors"
        save_file(dict(tensors[part::2]), target / name, {"format": "pt"})
        where |= {key: name for key, _ in tensors[part::2]}
    (target / "model.safetensors.index.json").write_text(
        json.dumps({"metadata": {}, "weight_map": where})
    )
    return target
