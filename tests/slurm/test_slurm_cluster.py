"""The cluster itself: up and down in seconds, and its GPUs are dealt out."""

import time
from pathlib import Path

import pytest
from slurm_cluster import Cluster, running_cluster, wait_until

pytestmark = pytest.mark.slurm


def test_up_in_five_seconds_and_down_in_three(tmp_path: Path) -> None:
    started = time.monotonic()
    with running_cluster(tmp_path / "cluster") as cluster:
        up = time.monotonic() - started
        number = cluster.run("sbatch", "--parsable", "--output=/dev/null", "--wrap=sleep 1000")
        wait_until(lambda: cluster.job(number)["JobState"] == "RUNNING", "the job runs", 20)
        started = time.monotonic()
    down = time.monotonic() - started
    assert not (tmp_path / "cluster").exists()
    print(f"up in {up:.1f} s, down in {down:.1f} s")
    assert up < 5 and down < 3


def test_a_job_sees_the_gpus_that_it_was_given(cluster: Cluster, tmp_path: Path) -> None:
    output = tmp_path / "seen"
    command = ("sbatch", "--parsable", "--partition=gpu", "--mem=100", f"--output={output}")
    seen = "--wrap=echo $CUDA_VISIBLE_DEVICES"
    number = cluster.run(*command, "--nodes=1", "--gpus=8", seen)
    wait_until(lambda: cluster.job(number)["JobState"] == "COMPLETED", "the job ends", 20)
    assert output.read_text().strip() == "0,1,2,3,4,5,6,7"
    with pytest.raises(Exception, match="non-zero exit status"):
        cluster.run(*command, "--nodes=1", "--gpus=9", seen)
