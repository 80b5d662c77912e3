"""The plan of an experiment: from the jobs of a dry run to hours, tokens, dollars and bytes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from reset_tuning.errors import InputError
from reset_tuning.experiment import Experiment
from reset_tuning.files import read_yaml
from reset_tuning.planning.disk import DiskNeed, job_need
from reset_tuning.planning.expectations import Expectations, least_certain
from reset_tuning.planning.jobs import PlannedJob, longest_chain, widest_level
from reset_tuning.planning.judges import JudgeCost, JudgeCosts, total
from reset_tuning.planning.models import ModelSizes
from reset_tuning.planning.throughput import Throughput
from reset_tuning.planning.work import JUDGE_RULES, TRAIN, WRITE, Work, Workload
from reset_tuning.tables import table_schema

_HOUR = 3600.0
_GB = 1e9
TOTAL = "total"
LIMITS = {
    "gpu_hours": ("gpu_hours", "GPU-hours"),
    "node_hours": ("node_hours", "node-hours"),
    "disk_gb": ("disk_gb", "GB of disk"),
    "judge_dollars": ("dollars", "dollars for judges"),
}


@dataclass(frozen=True)
class Estimate:
    """What one job needs."""

    job: PlannedJob
    work: Work
    seconds: float
    gpu_hours: float
    speed: str  # on what ground the seconds stand
    cost: JudgeCost
    disk: DiskNeed


class Planner:
    """Estimates the jobs of one experiment.

    `config` is the normalised configuration, `results` the experiment's folder, and `knowledge` the
    folder with sources.yaml and throughput.csv. `jobs` are what is left to do: their outputs count
    as absent wherever something is measured.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        results: Path,
        knowledge: Path,
        prompts: Mapping[str, Mapping[str, str]],
        jobs: Sequence[PlannedJob],
    ) -> None:
        self._sources = read_yaml(knowledge / "sources.yaml")
        self._experiment = Experiment(dict(config))
        pending = {output for job in jobs for output in job.outputs}
        self.expectations = Expectations(self._experiment, results, self._sources, pending)
        self._sizes = ModelSizes(config["models"], self._sources["models"])
        self._workload = Workload(self.expectations, self._sizes)
        self._throughput = Throughput(
            pd.read_csv(knowledge / "throughput.csv", comment="#"), config["plan"]["device"]
        )
        self._judges = JudgeCosts(config, prompts, self._workload, self.expectations)
        self._node = config["plan"]["gpus_per_node"]
        self.jobs = jobs
        self._throughput.learn(
            results / "benchmarks", results / "checkpoints", self._workload, self._gpus_by_rule()
        )

    @property
    def deviations(self) -> Mapping[str, Any]:
        """The assumed standard deviations behind the detectable effects."""
        return self._sources["deviations"]

    def _gpus_by_rule(self) -> dict[str, int]:
        return {job.rule: self._gpus(job) for job in self.jobs}

    def _gpus(self, job: PlannedJob) -> int:
        return 0 if self._throughput.is_cpu else job.gpus

    def estimates(self) -> list[Estimate]:
        """Return what each job that is left needs."""
        return [self._estimate(job) for job in self.jobs]

    def _estimate(self, job: PlannedJob) -> Estimate:
        work, gpus = self._workload.of(job.rule, job.wildcards), self._gpus(job)
        cost = self._judges.of(job) if job.rule in JUDGE_RULES else JudgeCost()
        if job.rule in JUDGE_RULES:
            work = Work(work.stage, {work.stage: cost.requests}, basis=cost.basis)
        seconds = self._throughput.seconds(job.rule, work, gpus)
        speed = self._throughput.speed(job.rule, work)
        raw = {name: size * _GB for name, size in self._sources["raw_gigabytes"].items()}
        disk = job_need(job, work, seconds, self.expectations, self._sizes, raw)
        return Estimate(job, work, seconds, gpus * seconds / _HOUR, speed.basis, cost, disk)

    def table(self, estimates: Sequence[Estimate]) -> pd.DataFrame:
        """Return the rows of the `plan` table: one for each rule, and their total."""
        by_rule: dict[str, list[Estimate]] = {}
        for estimate in estimates:
            by_rule.setdefault(estimate.job.rule, []).append(estimate)
        rows = [self._row(rule, group) for rule, group in by_rule.items()]
        rows.append(self._total(rows, estimates))
        return pd.DataFrame(rows, columns=table_schema("plan").names)

    def _row(self, rule: str, group: Sequence[Estimate]) -> dict[str, Any]:
        gpu_hours = sum(estimate.gpu_hours for estimate in group)
        cost = total([estimate.cost for estimate in group])
        work = [estimate.work for estimate in group if estimate.work.amounts]
        tokens = cost.tokens if rule in JUDGE_RULES else sum(item.tokens for item in work)
        counts = rule in JUDGE_RULES or any(item.stage in (TRAIN, WRITE) for item in work)
        return {
            "rule": rule,
            "jobs": len(group),
            "hours": sum(estimate.seconds for estimate in group) / _HOUR,
            "gpu_hours": gpu_hours,
            "node_hours": gpu_hours / self._node,
            "tokens": tokens if counts else None,
            "requests": cost.requests if rule in JUDGE_RULES else None,
            "recorded": cost.recorded if rule in JUDGE_RULES else None,
            "dollars": cost.dollars,
            "disk_gb": self._disk(rule, group) / _GB,
            "basis": _basis(group),
        }

    def _disk(self, rule: str, group: Sequence[Estimate]) -> float:
        """Return what a rule's jobs leave, and need at once where they all run that can."""
        kept = sum(estimate.disk.kept for estimate in group)
        transient = sorted((estimate.disk.transient for estimate in group), reverse=True)
        at_once = widest_level(self.jobs, rule) if any(transient) else 0
        return kept + sum(transient[:at_once])

    def _total(self, rows: Sequence[Mapping[str, Any]], estimates: Sequence[Estimate]) -> Any:
        names = ("jobs", "hours", "gpu_hours", "node_hours", "dollars", "disk_gb")
        sums = {name: sum(row[name] for row in rows) for name in names}
        wall = longest_chain(
            self.jobs, {estimate.job: estimate.seconds / _HOUR for estimate in estimates}
        )
        basis = f"at least {wall:.1f} h from start to end" if rows else "nothing is left to do"
        empty = dict.fromkeys(("tokens", "requests", "recorded"))
        return {"rule": TOTAL, **sums, **empty, "basis": basis}


def _basis(group: Sequence[Estimate]) -> str:
    """Return on what ground a rule's row stands: of its work, and of its speed."""
    work = least_certain([estimate.work.basis for estimate in group])
    speeds = dict.fromkeys(word for estimate in group for word in estimate.speed.split(", "))
    return f"work {work}, speed {', '.join(speeds)}"


def check_limits(table: pd.DataFrame, limits: Mapping[str, float]) -> None:
    """Raise InputError with one sentence when the plan's total is above a limit of the config."""
    sums = table.set_index("rule").loc[TOTAL]
    above = [
        f"{sums[column]:,.0f} {unit}, above plan.limits.{name} {limits[name]:,g}"
        for name, (column, unit) in LIMITS.items()
        if name in limits and sums[column] > limits[name]
    ]
    if above:
        raise InputError(
            f"this experiment needs {'; and '.join(above)}: ask for less (fewer seeds or runs, "
            "another target), or raise the limit"
        )
