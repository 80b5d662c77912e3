"""What a SLURM cluster still does for an experiment, and what a job asks of it when tried again."""

import os
import re
import shutil
import subprocess
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reset_tuning.errors import InputError

_QUEUE_SECONDS = 60


@dataclass(frozen=True)
class HeldJob:
    """A queued or running job: SLURM's number and state, and the comment that says what it does."""

    number: str
    state: str
    comment: str


def comment_of(rule: str, wildcards: Iterable[str]) -> str:
    """Return the comment that Snakemake's SLURM plugin gives to the job of a rule."""
    values = "_".join(wildcards).replace("/", "_")
    return f"rule_{rule}_wildcards_{values}" if values else f"rule_{rule}"


def remember_run(journal: Path, run_id: str) -> None:
    """Note the id under which a run of Snakemake submits: it is the name of its jobs."""
    journal.parent.mkdir(parents=True, exist_ok=True)
    with journal.open("a") as stream:
        stream.write(f"{run_id}\n")


def check_no_second_writer(journal: Path, comments: Collection[str]) -> None:
    """Raise InputError when SLURM still holds jobs of noted runs that make what `comments` name.

    A Snakemake that was killed leaves its jobs behind, and a new one does not know of them.
    """
    run_ids = journal.read_text().split() if journal.exists() else []
    held = [job for job in held_jobs(run_ids) if job.comment in comments]
    if not held:
        return
    numbers = " ".join(job.number for job in held)
    listed = ", ".join(f"{job.number} ({job.comment}, {job.state})" for job in held)
    raise InputError(
        f"SLURM still has jobs of an earlier run of this experiment which write the same files: "
        f"{listed}. Wait for their end, or cancel them (scancel {numbers}), and start again"
    )


def held_jobs(run_ids: Collection[str]) -> list[HeldJob]:
    """Return the queued and running jobs of runs; none where there is no SLURM.

    Raises InputError when SLURM does not answer: nobody knows then what is still running.
    """
    if not run_ids or shutil.which("squeue") is None:
        return []
    command = ["squeue", "--noheader", f"--name={','.join(run_ids)}", "--format=%i|%T|%k"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=_QUEUE_SECONDS
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise InputError(
            "squeue does not answer, so that nobody knows whether jobs of an earlier run still "
            f"write this experiment's files; try again later ({error})"
        ) from error
    return [HeldJob(*line.split("|", 2)) for line in done.stdout.splitlines()]


def gpus_of(resources: Mapping[str, Any]) -> int:
    """Return all GPUs that a job asks for: `gpu`, or `gpus_per_node` on each of its `nodes`.

    For SLURM `gpu` is the sum over a job, which it may deal out unevenly: several nodes are asked
    for the GPUs of each, and `gpu` is 0.
    """
    gpu, per_node, nodes = (_number(resources.get(n)) for n in ("gpu", "gpus_per_node", "nodes"))
    return gpu or per_node * max(nodes, 1)


def _number(value: Any) -> int:
    return value if isinstance(value, int) else 0  # a dry run does not know every value yet


def site_number(name: str, unit: str, default: int | None = None) -> int | None:
    """Return a limit that a site sets by an environment variable; an empty one counts as none.

    Raises InputError when it is no whole number.
    """
    value = os.environ.get(name)
    if not value:
        return default
    if not re.fullmatch("0*[1-9][0-9]*", value):
        raise InputError(f"{name} is {value!r}, but must be a whole number of {unit} above 0")
    return int(value)


def grown(start: int, attempt: int, most: int | None = None) -> int:
    """Return a resource for an attempt: half as much again each time, up to `most`."""
    wanted = start * (attempt + 1) // 2
    return wanted if most is None else min(wanted, most)


def training_memory_mb(parameters: float, ranks: int, nodes: int = 1) -> int:
    """Return the host memory that each of `nodes` needs to train under ZeRO-3 on its `ranks` GPUs.

    An estimate, not measured on GPUs: 8 GB for each process, the weights that it reads at a time
    (one file of the hub, at most 10 GB), and once on the node the gathered weights in bfloat16
    (2 bytes a parameter) and its share of the state on its way to the disk (14 bytes a parameter).
    For 7B on eight GPUs: 256 GB.
    """
    weights = 2 * parameters
    per_rank = 8e9 + min(weights, 10e9)
    return round((ranks * per_rank + weights + 14 * parameters / nodes) / 1e6)
