"""The jobs that a dry run would start, as Snakemake's own log events tell them.

A dry run in a process of its own is told through the environment where to write them; the Snakefile
then adds the `JobRecorder` to Snakemake's logger.
"""

import json
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from reset_tuning.errors import InputError
from reset_tuning.slurm import gpus_of

RECORD_VARIABLE = "RESET_RECORD_JOBS"
_EVENT = "job_info"
# What every profile says, so that a plan lists what a run would do.
RERUN_TRIGGERS = ("mtime", "params", "input")
LARGEST_COMPARED = "100MB"  # the largest file that is known again by its content
_ERROR_LINES = 15


@dataclass(frozen=True, eq=False)
class PlannedJob:
    """One job of a dry run: its rule, its wildcards, its files and the GPUs that it asks for."""

    rule: str
    wildcards: Mapping[str, str]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    gpus: int
    nodes: int


class JobRecorder(logging.Handler):
    """Writes every job that Snakemake logs as one JSON line."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def emit(self, record: logging.LogRecord) -> None:
        """Append the job of a job_info event; other records are nothing to us."""
        if getattr(record, "event", None) != _EVENT:
            return
        event = vars(record)
        resources = dict(event["resources"].items())
        nodes = resources.get("nodes")
        job = PlannedJob(
            rule=event["rule_name"],
            wildcards=dict(event["wildcards"] or {}),
            inputs=tuple(map(str, event["input"] or ())),
            outputs=tuple(map(str, event["output"] or ())),
            gpus=gpus_of(resources),
            nodes=nodes if isinstance(nodes, int) else 1,
        )
        with self._path.open("a") as stream:
            stream.write(json.dumps(asdict(job)) + "\n")


def record_jobs(logger: logging.Logger) -> None:
    """Record the jobs that a logger tells where the environment names a file for them."""
    if path := os.environ.get(RECORD_VARIABLE):
        logger.addHandler(JobRecorder(Path(path)))


def dry_run(
    snakefile: Path,
    config: Mapping[str, Any],
    targets: Sequence[str],
    resources: Mapping[str, Mapping[str, int]],
) -> list[PlannedJob]:
    """Return the jobs that are left to do for targets under a merged configuration.

    `resources` are a profile's set-resources by rule. Raises InputError with the end of Snakemake's
    output when the targets cannot be planned.
    """
    with tempfile.TemporaryDirectory(prefix="plan-") as folder:
        configuration, recorded = Path(folder) / "config.json", Path(folder) / "jobs.jsonl"
        configuration.write_text(json.dumps(config))
        command = [
            *(sys.executable, "-m", "snakemake", *targets, "--dry-run", "--nocolor"),
            *("--snakefile", str(snakefile), "--configfile", str(configuration)),
            *("--rerun-triggers", *RERUN_TRIGGERS),
            *("--max-checksum-file-size", LARGEST_COMPARED),
            "--rerun-incomplete",  # as every profile says: a plan is for a killed run as well
        ]
        if settings := [
            f"{rule}:{name}={value}"
            for rule, values in resources.items()
            for name, value in values.items()
        ]:
            command += ["--set-resources", *settings]
        # A profile of the environment would bring its own configuration.
        environment = {k: v for k, v in os.environ.items() if k != "SNAKEMAKE_PROFILE"}
        environment[RECORD_VARIABLE] = str(recorded)
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if done.returncode:
            output = (done.stdout + done.stderr).splitlines()[-_ERROR_LINES:]
            raise InputError(
                f"{' '.join(targets)} cannot be planned, since a dry run fails:\n"
                + "\n".join(output)
            )
        return read_jobs(recorded)


def read_jobs(path: Path) -> list[PlannedJob]:
    """Return what a `JobRecorder` wrote, without jobs that only gather files; none without file."""
    lines = path.read_text().splitlines() if path.exists() else []
    jobs = [_job(json.loads(line)) for line in lines]
    return [job for job in jobs if job.outputs]


def _job(record: dict[str, Any]) -> PlannedJob:
    lists = {name: tuple(record[name]) for name in ("inputs", "outputs")}
    return PlannedJob(**record | lists)


def longest_chain(jobs: Sequence[PlannedJob], hours: Mapping[PlannedJob, float]) -> float:
    """Return the hours of the longest chain of jobs that wait for each other."""
    return max(_along_chains(jobs, hours.__getitem__).values(), default=0.0)


def widest_level(jobs: Sequence[PlannedJob], rule: str) -> int:
    """Return how many jobs of a rule can run at once: the most with as many of it before them."""
    level = _along_chains(jobs, lambda job: float(job.rule == rule))
    counts: dict[float, int] = {}
    for job in jobs:
        if job.rule == rule:
            counts[level[job]] = counts.get(level[job], 0) + 1
    return max(counts.values(), default=0)


def _along_chains(
    jobs: Sequence[PlannedJob], weight: Callable[[PlannedJob], float]
) -> dict[PlannedJob, float]:
    """Return for each job the heaviest sum of weights over a chain of jobs that ends with it."""
    makers = {output: job for job in jobs for output in job.outputs}
    totals: dict[PlannedJob, float] = {}

    def total(job: PlannedJob) -> float:
        if job not in totals:
            before = {makers[name] for name in job.inputs if name in makers}
            totals[job] = weight(job) + max(map(total, before), default=0.0)
        return totals[job]

    return {job: total(job) for job in jobs}
