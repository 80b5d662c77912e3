"""Dry runs of 1, 10 and 30 times the paper: time linear in the jobs, the paper within bounds."""

import resource
import sys
import time
from pathlib import Path

import pytest

from helpers import copy_tree, planned_jobs, run_snakemake

TIMES = (1, 10, 30)
SEEDS = 3
PAPER_SECONDS = 8.0


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_tree(tmp_path_factory.mktemp("scale") / "workflow")


def dry_run(tree: Path, factor: int) -> tuple[int, float, float]:
    """Return jobs, CPU seconds and wall-clock seconds of a dry run with more seeds."""
    seeds = ",".join(str(seed) for seed in range(1, SEEDS * factor + 1))
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = run_snakemake(tree, "-n", "-q", "rules", "--config", f"seeds=[{seeds}]")
    after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic() - started
    assert done.returncode == 0, done.stdout[-2000:]
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return sum(planned_jobs(done.stdout).values()), cpu, wall


def test_a_dry_run_is_linear_in_its_jobs(tree: Path) -> None:
    figures = {factor: dry_run(tree, factor) for factor in TIMES}
    for factor, (jobs, cpu, wall) in figures.items():
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        print(f"{factor:3d}x: {jobs} jobs, {cpu:.1f} CPU s, {wall:.1f} s", file=sys.stderr)
    print(f"peak memory {peak:.0f} MB", file=sys.stderr)
    jobs, cpu, _ = figures[1]
    assert 0 < jobs <= 1000 and cpu <= PAPER_SECONDS
    for factor in TIMES[1:]:
        more_jobs, more_cpu, _ = figures[factor]
        assert more_cpu / cpu <= 1.3 * more_jobs / jobs
