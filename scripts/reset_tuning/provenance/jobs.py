"""The jobs behind files, as Snakemake and the jobs themselves recorded them.

Snakemake keeps a record of every output below .snakemake/metadata: the rule that made it, its
inputs, its log and its times. Each job writes another beside its log (reset_tuning.jobs): its
params by name, its code and its packages. Both are read here; neither is kept by hand.
"""

import hashlib
import json
from base64 import urlsafe_b64encode
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from reset_tuning.jobs import job_record

METADATA = Path(".snakemake/metadata")
_LONGEST_NAME = 254  # Snakemake splits longer names into folders, each marked with @


@dataclass(frozen=True)
class Job:
    """One job of a run; paths are as the rules write them, from the folder that Snakemake runs in.

    `params`, `commit`, `python` and `packages` are None for a job that left no record of its own.
    """

    rule: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    log: str | None
    benchmark: str | None
    started: str | None
    ended: str | None
    wildcards: dict[str, str] = field(default_factory=dict)
    params: dict[str, Any] | None = None
    threads: int | None = None
    gpus: int | None = None
    slurm_job: str | None = None
    commit: str | None = None
    python: str | None = None
    machine: str | None = None
    packages: dict[str, str] | None = None

    @property
    def environment(self) -> str | None:
        """Return a short name of the installed packages: equal ones have equal names."""
        if self.packages is None:
            return None
        return hashlib.sha256(json.dumps(self.packages, sort_keys=True).encode()).hexdigest()[:12]

    def as_dict(self) -> dict[str, Any]:
        """Return the job as JSON holds it."""
        return asdict(self) | {"inputs": list(self.inputs), "outputs": list(self.outputs)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Job":
        """Return the job that `as_dict` wrote."""
        files = {name: tuple(values[name]) for name in ("inputs", "outputs")}
        return cls(**(values | files))


def find_jobs(outputs: Iterable[str], root: Path) -> tuple[list[Job], list[str]]:
    """Return the jobs that made the outputs, and the outputs of which Snakemake has no record.

    `root` is the folder that Snakemake ran in. Jobs stand in the order of their first output.
    """
    made: dict[str, list[str]] = {}
    records: dict[str, dict[str, Any]] = {}
    unknown = []
    for output in outputs:
        record = _read_json(metadata_path(root / METADATA, output))
        if record is None or not record.get("rule"):
            unknown.append(output)
            continue
        log = next(iter(record.get("log") or ()), None)
        key = log or f"{record['rule']} {record.get('job_hash')}"
        made.setdefault(key, []).append(output)
        records.setdefault(key, record)
    return [_job(records[key], files, root) for key, files in made.items()], unknown


def metadata_path(folder: Path, output: str) -> Path:
    """Return where Snakemake keeps its record of an output."""
    name = urlsafe_b64encode(output.encode()).decode()
    parts = [name[start : start + _LONGEST_NAME] for start in range(0, len(name), _LONGEST_NAME)]
    return folder.joinpath(*(f"@{part}" for part in parts[:-1]), parts[-1])


def benchmark_of(log: str) -> str:
    """Return the benchmark of the job with this log: the rules name both alike.

    >>> benchmark_of("results/mini/logs/train/mtl/seed-1.log")
    'results/mini/benchmarks/train/mtl/seed-1.jsonl'
    """
    head, _, tail = log.rpartition("/logs/")
    return f"{head}/benchmarks/{tail.removesuffix('.log')}.jsonl"


def _job(record: dict[str, Any], outputs: list[str], root: Path) -> Job:
    log = next(iter(record.get("log") or ()), None)
    benchmark = benchmark_of(log) if log else None
    own = (_read_json(root / job_record(Path(log))) if log else None) or {}
    names = ("wildcards", "params", "threads", "gpus", "slurm_job")
    names += ("commit", "python", "machine", "packages")
    return Job(
        rule=record["rule"],
        inputs=tuple(record.get("input") or ()),
        outputs=tuple(outputs),
        log=log,
        benchmark=benchmark if benchmark and (root / benchmark).exists() else None,
        started=_time(record.get("starttime")),
        ended=_time(record.get("endtime")),
        **{name: own[name] for name in names if name in own},
    )


def _time(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
