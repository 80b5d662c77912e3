"""How fast the work goes: figures of a table, replaced by an experiment's own as soon as there are
any (resources/planning/throughput.csv; benchmarks and provenance of the experiment)."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from reset_tuning.errors import InputError
from reset_tuning.jobs import job_record
from reset_tuning.planning.expectations import MEASURED
from reset_tuning.planning.work import ENTAIL, JUDGE_RULES, READ, TRAIN, WRITE, Work, Workload

_PER_PARAMETER = (TRAIN, READ, WRITE)  # a model twice as large takes twice as long
_PER_GPU = (*_PER_PARAMETER, ENTAIL)
_MOST_KNOWN = 0.1  # of a job's work: with more its seconds say little of its speed
# Where the wildcards of a rule stand in its benchmark's path, behind <run>/seed-<seed>.
_TAILS = {
    "train": (),
    "generate_outputs": ("checkpoint",),
    "sample_outputs": ("decoding",),
    "score_entailment": ("checkpoint", "metric"),
    "score_pool_entailment": ("decoding", "metric"),
    **{
        rule: ("decoding" if rule.startswith("query_pool") else "checkpoint", "judge")
        for rule in JUDGE_RULES
    },
}


@dataclass(frozen=True)
class Speed:
    """How long a rule's jobs take: `overhead` seconds, and `factor` times what the table says."""

    overhead: float
    factor: float
    basis: str


@dataclass(frozen=True)
class Done:
    """A finished job: the seconds that the table gives for its work, those of the work, and all."""

    expected: float
    working: float
    seconds: float


class Throughput:
    """Seconds of a job from its work and its GPUs, on one device."""

    def __init__(self, table: pd.DataFrame, device: str) -> None:
        """Take a device's rows; raise InputError for one that the table does not have."""
        known = sorted(set(table["device"]))
        if device not in known:
            raise InputError(
                f"config: plan.device is {device!r}, which resources/planning/throughput.csv does "
                f"not have: {', '.join(known)}."
            )
        self._rows = table[table["device"] == device].set_index("stage").to_dict("index")
        self._measured: dict[str, Speed] = {}
        self.is_cpu = device == "cpu"

    def seconds(self, rule: str, work: Work, gpus: int) -> float:
        """Return how long a job takes with so many GPUs."""
        speed = self.speed(rule, work)
        return speed.overhead + speed.factor * self._expected(work, gpus)

    def speed(self, rule: str, work: Work) -> Speed:
        """Return the speed of a rule: measured where the experiment has done such jobs."""
        if rule in self._measured:
            return self._measured[rule]
        bases = [str(self._rows[stage]["basis"]) for stage in work.amounts]
        return Speed(self._start(work), 1.0, ", ".join(dict.fromkeys(bases)) or "assumed")

    def _start(self, work: Work) -> float:
        return float(self._rows[f"start_{work.stage}"]["rate"])

    def _expected(self, work: Work, gpus: int) -> float:
        """Return the seconds of the work itself by the table, whose rates are those of one GPU."""
        total = 0.0
        for stage, amount in work.amounts.items():
            row = self._rows[stage]
            scale = work.parameters / row["parameters"] if stage in _PER_PARAMETER else 1.0
            total += amount * scale / row["rate"] / (max(gpus, 1) if stage in _PER_GPU else 1)
        return total

    def learn(
        self, benchmarks: Path, checkpoints: Path, workload: Workload, gpus: Mapping[str, int]
    ) -> None:
        """Replace the table's figures by those of jobs that the experiment has finished.

        `gpus` are what the jobs of each rule ask for.
        """
        done: dict[str, list[Done]] = {}
        for rule, wildcards, seconds in finished_jobs(benchmarks):
            try:
                work = workload.of(rule, wildcards)
            except KeyError:  # of a run or a decoding that the configuration no longer has
                continue
            asked, working = gpus.get(rule, 1), max(seconds - self._start(work), 0.5 * seconds)
            if rule == "train":
                report = _report(checkpoints / wildcards["run"] / f"seed-{wildcards['seed']}")
                if report is None:
                    continue
                asked, working = report["geometry"]["ranks"], report["train_seconds"]
                seconds = max(seconds, working)
            done.setdefault(rule, []).append(Done(self._expected(work, asked), working, seconds))
        self._measured = {rule: _speed(jobs) for rule, jobs in done.items()}


def _speed(jobs: list[Done]) -> Speed:
    """Return the mean seconds outside of the work, and how much slower it was than expected."""
    expected = sum(job.expected for job in jobs)
    if not expected:
        return Speed(sum(job.seconds for job in jobs) / len(jobs), 1.0, MEASURED)
    working = sum(job.working for job in jobs)
    overhead = sum(job.seconds - job.working for job in jobs) / len(jobs)
    return Speed(overhead, working / expected, MEASURED)


def finished_jobs(benchmarks: Path) -> Iterator[tuple[str, dict[str, str], float]]:
    """Yield rule, wildcards (of rules with work to count) and seconds of every benchmark.

    Those of jobs that found their work done, as when a deleted table is made again, are left out.
    """
    for path in sorted(benchmarks.glob("**/*.jsonl")):
        rule, *parts = path.relative_to(benchmarks).with_suffix("").parts
        seconds, tail = _seconds(path), _TAILS.get(rule)
        if (
            seconds is None
            or _known_before(path, benchmarks) > _MOST_KNOWN
            or (tail is not None and len(parts) != 2 + len(tail))
        ):
            continue
        wildcards = {}
        if tail is not None:
            wildcards = {"run": parts[0], "seed": parts[1].removeprefix("seed-")}
            wildcards |= dict(zip(tail, parts[2:], strict=True))
        yield rule, wildcards, seconds


def _seconds(path: Path) -> float | None:
    """Return the wall-clock seconds of a benchmark, or None of a file without them."""
    try:
        return float(json.loads(path.read_text().splitlines()[-1])["s"])
    except (OSError, ValueError, KeyError, IndexError):
        return None


def _known_before(benchmark: Path, benchmarks: Path) -> float:
    """Return the share of its work that a job found done, as the record beside its log says."""
    log = benchmarks.parent / "logs" / benchmark.relative_to(benchmarks)
    try:
        return float(json.loads(job_record(log).read_text()).get("known_before", 0.0))
    except (OSError, ValueError):
        return 0.0


def _report(checkpoint: Path) -> Mapping[str, Any] | None:
    """Return what a training says of itself in its provenance, or None without."""
    try:
        report = json.loads((checkpoint / "provenance.json").read_text())["training"]
        return report if report["train_seconds"] > 0 else None
    except (OSError, ValueError, KeyError):
        return None
