"""Time, memory and money of every rule and run: metrics/cost.csv.

From Snakemake's benchmark files, which hold the last attempt of each job, and from the records
that the jobs left (how many GPUs they saw); a training adds up its GPU time over its attempts.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from reset_tuning.errors import InputError
from reset_tuning.judging.costs import with_costs
from reset_tuning.provenance.jobs import Job, find_jobs
from reset_tuning.tables import read_table, table_schema, write_table

TOTAL = "total"
_SUMS = ["wall_seconds", "cpu_seconds", "gpu_seconds"]
_TOKENS = ["prompt_tokens", "completion_tokens", "dollars"]
_KEY = ["rule", "run"]
_JUDGMENTS = ".raw.parquet"


def tabulate_cost(
    files: Iterable[str],
    table: Path,
    prices: Mapping[str, Mapping[str, float]],
    root: Path = Path("."),
) -> None:
    """Write what the jobs behind the files took, by rule and run, dearest rules first, and a total.

    `prices` are the judges' prices by name. A job without a benchmark (made by an older version, or
    copied here) is counted in `n_unmeasured`.
    """
    jobs, _ = find_jobs(files, root)
    rows = pd.DataFrame([_measured(job, root) for job in jobs])
    if rows.empty:
        raise InputError(f"{table}: Snakemake has no record of the jobs behind the given files")
    costs = rows.groupby(_KEY, as_index=False).agg(
        n_jobs=("rule", "size"),
        n_unmeasured=("wall_seconds", lambda seconds: int(seconds.isna().sum())),
        **{name: (name, "sum") for name in _SUMS},
        max_memory_mb=("max_memory_mb", "max"),
    )
    judged = costs[_KEY].merge(_judged(jobs, prices, root), on=_KEY, how="left")
    costs = costs.assign(**{name: judged[name].fillna(0) for name in _TOKENS})
    of_rule = costs.groupby("rule")["wall_seconds"].transform("sum")
    costs = costs.assign(of_rule=-of_rule).sort_values(["of_rule", *_KEY]).drop(columns="of_rule")
    costs = pd.concat([costs, _total(costs)], ignore_index=True).replace({"run": {"": None}})
    write_table(costs[table_schema("cost").names], table, "cost")


def _measured(job: Job, root: Path) -> dict[str, Any]:
    """Return what one job took; nothing where it has no benchmark."""
    benchmark = _benchmark(root / job.benchmark) if job.benchmark else {}
    wall = benchmark.get("s")
    gpu_seconds = None if wall is None else wall * (job.gpus or 0)
    return {
        "rule": job.rule,
        "run": job.wildcards.get("run", ""),
        "wall_seconds": wall,
        "cpu_seconds": benchmark.get("cpu_time"),
        "gpu_seconds": _training_seconds(job, root, gpu_seconds),
        "max_memory_mb": benchmark.get("max_rss"),
    }


def _benchmark(path: Path) -> dict[str, float]:
    """Return the numbers of a benchmark file; what was too short to measure is no number."""
    measured = json.loads(path.read_text(encoding="utf-8").splitlines()[-1])
    return {name: value for name, value in measured.items() if isinstance(value, int | float)}


def _training_seconds(job: Job, root: Path, otherwise: float | None) -> float | None:
    """Return a training's own GPU seconds, which earlier attempts are part of."""
    provenance = next((path for path in job.outputs if path.endswith("/provenance.json")), None)
    if provenance is None:
        return otherwise
    report = json.loads((root / provenance).read_text(encoding="utf-8"))["training"]
    return max(report["gpu_seconds"], otherwise or 0.0)


def _judged(
    jobs: Sequence[Job], prices: Mapping[str, Mapping[str, float]], root: Path
) -> pd.DataFrame:
    """Return tokens and dollars of the judges' replies by rule and run; each reply counts once."""
    files = {path: job.rule for job in jobs for path in job.outputs if path.endswith(_JUDGMENTS)}
    frames = [
        read_table(root / path, "judgment").assign(rule=files[path]) for path in sorted(files)
    ]
    if not frames:
        return pd.DataFrame(columns=[*_KEY, *_TOKENS])
    rows = with_costs(pd.concat(frames, ignore_index=True), prices)
    return rows[rows["is_paid"]].groupby(_KEY, as_index=False)[_TOKENS].sum()


def _total(costs: pd.DataFrame) -> pd.DataFrame:
    sums = costs[["n_jobs", "n_unmeasured", *_SUMS, *_TOKENS]].sum(min_count=1)
    memory = costs["max_memory_mb"].max()
    return pd.DataFrame([{"rule": TOTAL, "run": "", **sums, "max_memory_mb": memory}])
