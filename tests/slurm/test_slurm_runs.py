"""Runs that last for days: a head job, parts one after another, two experiments at once."""

import os
import re
import subprocess
from pathlib import Path

import pytest
from slurm_cluster import OVERLAYS, Clone, Cluster, ranks, wait_until

pytestmark = [pytest.mark.slurm, pytest.mark.slow]

SPLITS = [f"results/mini/data/{name}/train.parquet" for name in ("dolly", "oasst1", "nq")]


def digests(clone: Clone, *names: str) -> dict[str, bytes]:
    return {name: (clone.folder / name).read_bytes() for name in names}


def remove(clone: Clone, *names: str) -> None:
    for name in names:
        (clone.folder / name).unlink()


def test_two_experiments_from_one_clone_run_at_once(
    clone: Clone, cluster: Cluster, tmp_path: Path
) -> None:
    overlay = tmp_path / "second.yaml"
    overlay.write_text("experiment: second\n")
    second = clone.with_overlay(overlay)
    remove(clone, *SPLITS)
    theirs = [name.replace("/mini/", "/second/") for name in SPLITS]
    runs = [clone.start(*SPLITS), second.start(*theirs)]
    for run in runs:
        run.wait()
        run.succeeded()
    for mine, other in zip(SPLITS, theirs, strict=True):
        assert (clone.folder / mine).read_bytes() == (clone.folder / other).read_bytes()


def test_verdicts_of_a_node_are_seen_where_snakemake_runs(clone: Clone, cluster: Cluster) -> None:
    done = clone.snakemake("preflight")
    done.succeeded()
    assert len(re.findall(r" GPUs .*CPU", done.output)) == 1
    refused = clone.snakemake("preflight", "--config", "launch={cpu_ranks: 0}")
    assert refused.status == 1
    assert re.search(r" GPUs .*FAILED.*0 of 8 GPUs are seen", refused.output)
    assert len(cluster.jobs_of(clone.folder, "preflight")) == 2  # none is tried again


def test_three_parts_make_the_same_bytes_as_one_run(clone: Clone, cluster: Cluster) -> None:
    rows = "results/mini/mixtures/all/train.parquet"
    expected = digests(clone, rows, *SPLITS)
    remove(clone, rows, *SPLITS)
    for part in (1, 2, 3):
        before = len(cluster.jobs_of(clone.folder, "prepare_split"))
        clone.snakemake(rows, "--batch", f"build_mixture={part}/3").succeeded()
        assert len(cluster.jobs_of(clone.folder, "prepare_split")) - before < len(SPLITS)
    assert digests(clone, rows, *SPLITS) == expected
    assert len(cluster.jobs_of(clone.folder, "prepare_split")) == len(SPLITS)


def submit_head(clone: Clone, *options: str, targets: tuple[str, ...]) -> str:
    short = ("--slurm-init-seconds-before-status-checks", "2", "--latency-wait", "10")
    done = subprocess.run(
        [
            *("sbatch", "--parsable", *options, "profiles/slurm/head_job.sh"),
            *(*targets, *short, "--configfile", *OVERLAYS),
        ],
        cwd=clone.folder,
        env=clone.cluster.environment | {"RESET_HEAD_GRACE": "10", "RESET_HEAD_POLL": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def variables_of_snakemake(clone: Clone) -> set[str]:
    """Return the names of the variables of the Snakemake that runs in a clone."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if os.readlink(process / "cwd") != str(clone.folder):
                continue
            command = (process / "cmdline").read_text().split("\0")
            if "--slurm-jobname-prefix" in command and "bash" not in command[0]:
                content = (process / "environ").read_text()
                return {entry.split("=")[0] for entry in content.split("\0")}
        except OSError:
            continue
    return set()


def test_a_head_job_submits_and_its_jobs_inherit_nothing_of_it(
    clone: Clone, cluster: Cluster
) -> None:
    expected = digests(clone, *SPLITS)
    remove(clone, *SPLITS)
    head = submit_head(clone, "--job-name=mine", targets=tuple(SPLITS))
    names = wait_until(lambda: variables_of_snakemake(clone), "the head runs snakemake")
    assert {n for n in names if re.match("SLURM_|SBATCH_|SRUN_", n)} <= {"SLURM_CONF"}
    cluster.wait_for(head, "COMPLETED")
    assert digests(clone, *SPLITS) == expected
    jobs = cluster.jobs_of(clone.folder, "prepare_split")
    assert {job["JobState"] for job in jobs} == {"COMPLETED"} and len(jobs) == len(SPLITS)
    assert all(job["JobName"].startswith("mine_") and job["NumCPUs"] == "1" for job in jobs)


def test_a_head_job_queues_itself_again_before_its_limit(clone: Clone, cluster: Cluster) -> None:
    weights = "results/mini/checkpoints/mtl/seed-1/last/model.safetensors"
    generations = "results/mini/generations/mtl/seed-1/best.parquet"
    head = submit_head(clone, "--time=2", "--signal=B:USR1@90", targets=(weights, generations))
    log = clone.folder / f"head-reset-{head}.log"
    (rank,) = wait_until(lambda: ranks(clone), "the training runs")
    rank.suspend()  # a training that lasts longer than its head
    wait_until(lambda: "queued again" in log.read_text(), "the head ends its first life")
    rank.resume()
    cluster.wait_for(head, "COMPLETED")
    assert int(cluster.job(head)["Restarts"]) >= 1
    assert "the time limit is near" in log.read_text()
    assert (clone.folder / generations).exists()
    assert len(cluster.jobs_of(clone.folder, "train")) == 1, "its job lived on and was not repeated"
