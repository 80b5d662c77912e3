"""What goes wrong on a cluster, done to real jobs: each run ends with the right files."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import psutil
import pytest
from slurm_cluster import HERE, Clone, Cluster, Run, ranks, wait_until

from reset_tuning.files import sha256_of
from reset_tuning.training.state import last_state

pytestmark = [pytest.mark.slurm, pytest.mark.slow]

FOLDER = "results/mini/checkpoints/mtl/seed-1"
WEIGHTS = f"{FOLDER}/last/model.safetensors"
LONG = HERE / "long_training.yaml"


@pytest.fixture(scope="module")
def expected(prepared: Clone, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The digest of the weights of a training that nothing happens to."""
    copy = prepared.copy(tmp_path_factory.mktemp("undisturbed") / "workflow")
    undisturbed = copy.with_overlay(LONG)
    undisturbed.snakemake(WEIGHTS, profile="").succeeded()
    return sha256_of(undisturbed.folder / WEIGHTS)


@pytest.fixture
def training(clone: Clone, expected: str) -> Iterator[Clone]:
    """A clone whose training, whatever happens to it, must end with the expected weights."""
    yield clone.with_overlay(LONG)
    assert sha256_of(clone.folder / WEIGHTS) == expected
    left = sorted(path.name for path in (clone.folder / FOLDER).glob("[!.]*"))
    assert left == ["best", "history.csv", "last", "provenance.json"]


def step_of(clone: Clone) -> int:
    """Return the step of the last complete state of the training; 0 without one."""
    state = last_state(clone.folder / FOLDER / "trainer")
    return int(state.name.split("-")[1]) if state else 0


def start_and_reach(clone: Clone, step: int, **environment: str) -> Run:
    """Start the training on the cluster and wait for a state of it."""
    run = clone.start(WEIGHTS, **environment)
    wait_until(lambda: step_of(clone) >= step or run.status is not None, "a first state")
    assert run.status is None, run.output[-6000:]
    return run


@contextmanager
def held(clone: Clone) -> Iterator[None]:
    """Hold the ranks of a training, lest it ends before what is to happen to it has happened."""
    processes = ranks(clone)
    for process in processes:
        process.suspend()
    yield
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.resume()


def slurm_log(clone: Clone, number: str) -> str:
    """Return what SLURM kept of a job that did not succeed."""
    return (clone.folder / f"logs/slurm/rule_train/mtl_1/{number}.log").read_text()


def trainings(clone: Clone) -> list[dict[str, str]]:
    return clone.cluster.jobs_of(clone.folder, "train")


# ---------------------------------------------------------------- jobs that fail


def test_a_failing_job_is_tried_with_more_memory_and_time(clone: Clone, cluster: Cluster) -> None:
    target = "results/mini/data/dolly/train.parquet"
    raw = clone.results / "raw" / "dolly" / "databricks-dolly-15k.jsonl"
    content = raw.read_bytes()
    raw.write_bytes(content[: len(content) // 2])
    (clone.folder / target).unlink()
    failed = clone.snakemake(target, "--retries", "1")
    assert failed.status == 1
    tried = cluster.jobs_of(clone.folder, "prepare_split")
    assert [job["JobState"] for job in tried] == ["FAILED"] * 2
    assert [job["TRES"].split(",")[1] for job in tried] == ["mem=4000M", "mem=6000M"]
    assert [job["TimeLimit"] for job in tried] == ["02:00:00", "03:00:00"]
    assert "changed since" in failed.output  # the sentence of the job's own log
    assert not (clone.folder / target).exists()
    raw.write_bytes(content)
    clone.snakemake(target).succeeded()


def test_a_time_limit_costs_no_step(training: Clone, cluster: Cluster) -> None:
    limits = {"RESET_MAX_RUNTIME": "2", "RESET_WARNING_SECONDS": "60"}
    run = start_and_reach(training, 5, **limits)
    (rank,) = ranks(training)
    rank.suspend()  # a training that is far from its end when its time is nearly up
    handed_on = "SIGUSR1 is handed on to the training"
    wait_until(lambda: handed_on in training.log_of("train/mtl/seed-1"), "SLURM warns")
    rank.resume()
    run.wait()
    run.succeeded()
    *stopped, last = trainings(training)  # on a slow machine a second job may be warned as well
    assert stopped[0]["TimeLimit"] == "00:02:00"
    assert {job["JobState"] for job in stopped} == {"FAILED"} and last["JobState"] == "COMPLETED"
    for job in stopped:
        assert "training was stopped by SIGUSR1 after step" in slurm_log(training, job["JobId"])
    assert "going on from the state" in training.log_of("train/mtl/seed-1")


# ---------------------------------------------------------------- people and the scheduler


def test_a_cancelled_job_is_started_again_and_goes_on(training: Clone, cluster: Cluster) -> None:
    run = start_and_reach(training, 5)
    cluster.run("scancel", trainings(training)[0]["JobId"])
    run.wait()
    run.succeeded()
    first, second = trainings(training)
    assert (first["JobState"], second["JobState"]) == ("CANCELLED", "COMPLETED")
    assert "going on from the state" in training.log_of("train/mtl/seed-1")


def test_a_preempted_job_is_queued_again_and_goes_on(training: Clone, cluster: Cluster) -> None:
    run = start_and_reach(training, 5, RESET_GPU_PARTITION="low")
    urgent = ("sbatch", "--partition=gpu", "--nodes=2", "--gpus-per-node=8", "--mem=1000")
    cluster.run(*urgent, "--output=/dev/null", "--wrap=sleep 5")
    run.wait()
    run.succeeded()
    (job,) = trainings(training)
    assert (job["Restarts"], job["JobState"]) == ("1", "COMPLETED")
    assert "going on from the state" in training.log_of("train/mtl/seed-1")


def test_ctrl_c_leaves_no_job_and_a_new_start_goes_on(training: Clone, cluster: Cluster) -> None:
    run = start_and_reach(training, 5)
    with held(training):
        run.process.send_signal(signal.SIGINT)
        wait_until(lambda: trainings(training)[0]["JobState"] != "RUNNING", "it is cancelled")
    assert run.wait() == 1
    wait_until(lambda: not cluster.queue(), "the queue is empty")
    step = step_of(training)
    assert step >= 5
    training.snakemake(WEIGHTS).succeeded()
    assert f"checkpoint-{step}" in training.log_of("train/mtl/seed-1")


def test_a_killed_snakemake_gets_no_second_writer(training: Clone, cluster: Cluster) -> None:
    run = start_and_reach(training, 2)
    run.process.kill()
    run.process.wait()
    with held(training):
        (job,) = trainings(training)
        assert job["JobState"] == "RUNNING", "nobody tells SLURM that Snakemake is gone"
        locked = training.snakemake(WEIGHTS)
        assert locked.status == 1 and "--unlock" in locked.output
        training.snakemake("--unlock").succeeded()
        refused = training.snakemake(WEIGHTS)
        assert refused.status == 1
        assert "SLURM still has jobs of an earlier run" in refused.output
        assert f"scancel {job['JobId']}" in refused.output
    wait_until(lambda: not cluster.queue(), "the job ends by itself")
    training.snakemake(WEIGHTS).succeeded()
    assert len(trainings(training)) == 1, "what the job had made was not made again"


# ---------------------------------------------------------------- nodes


@pytest.fixture
def nodes_mended(cluster: Cluster) -> Iterator[Callable[[str], None]]:
    """Give the test a way to start a node's daemon again; all nodes are well afterwards."""

    def start(node: str) -> None:
        subprocess.run(["slurmd", "-N", node], env=cluster.environment, check=True)

    yield start

    def all_are_up() -> bool:
        down = [node for node in ("gpu1", "gpu2") if "down" in cluster.state_of(node)]
        for node in down:
            # SLURM refuses it for a node that has come back by itself in the meantime.
            command = ["scontrol", "update", f"nodename={node}", "state=resume"]
            subprocess.run(command, env=cluster.environment, capture_output=True)
        return not down

    wait_until(all_are_up, "nodes are up")


def test_a_node_that_goes_down_passes_its_job_on(
    training: Clone, cluster: Cluster, nodes_mended: Callable[[str], None]
) -> None:
    run = start_and_reach(training, 5)
    node = trainings(training)[0]["NodeList"]
    cluster.run("scontrol", "update", f"nodename={node}", "state=down", "reason=test")
    run.wait()
    run.succeeded()
    (job,) = trainings(training)
    assert (job["Restarts"], job["JobState"]) == ("1", "COMPLETED")
    assert "going on from the state" in training.log_of("train/mtl/seed-1")


def test_a_lost_node_whose_job_lives_on_makes_no_second_writer(
    training: Clone, cluster: Cluster, nodes_mended: Callable[[str], None]
) -> None:
    """SLURM takes the node for dead and starts the job elsewhere, but its processes live."""
    run = start_and_reach(training, 2)
    node = trainings(training)[0]["NodeList"]
    (rank,) = ranks(training)
    rank.suspend()  # or it would have ended before SLURM misses its node
    daemon = int((cluster.folder / f"pid/slurmd-{node}.pid").read_text())
    os.kill(daemon, signal.SIGKILL)
    held = "is held by another process, which is asked for it"
    wait_until(lambda: held in training.log_of("train/mtl/seed-1"), "the second job asks")
    rank.resume()
    run.wait()
    run.succeeded()
    (job,) = trainings(training)
    assert job["NodeList"] != node
    assert "going on from the state" in training.log_of("train/mtl/seed-1")
    nodes_mended(node)
