"""The cluster itself: up and down, and its GPUs are dealt out."""

import re
import subprocess
from pathlib import Path

import psutil
import pytest
from slurm_cluster import HERE, Cluster, running_cluster

pytestmark = pytest.mark.slurm


def environment_of(process: psutil.Process) -> str:
    """Return a process's environment as one text; empty when it cannot be read."""
    try:
        return str(process.environ())
    except psutil.Error:
        return ""


def test_it_comes_up_runs_a_job_and_leaves_nothing() -> None:
    with running_cluster() as cluster:
        number = cluster.run("sbatch", "--parsable", "--output=/dev/null", "--wrap=sleep 1000")
        cluster.wait_for(number, "RUNNING")
    folder = cluster.folder
    assert not folder.exists()
    assert not [one for one in psutil.process_iter() if f"{folder}/" in environment_of(one)]


def test_a_folder_whose_name_is_too_long_for_sockets_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 25)
    done = subprocess.run([HERE / "up.sh", folder], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert re.search(r"is \d+ characters too long for SLURM's sockets: take a shorter", done.stderr)
    assert not folder.exists()


def test_a_job_sees_the_gpus_that_it_was_given(cluster: Cluster, tmp_path: Path) -> None:
    output = tmp_path / "seen"
    command = ("sbatch", "--parsable", "--partition=gpu", "--mem=100", f"--output={output}")
    seen = "--wrap=echo $CUDA_VISIBLE_DEVICES"
    number = cluster.run(*command, "--nodes=1", "--gpus=8", seen)
    cluster.wait_for(number, "COMPLETED")
    assert output.read_text().strip() == "0,1,2,3,4,5,6,7"
    with pytest.raises(Exception, match="non-zero exit status"):
        cluster.run(*command, "--nodes=1", "--gpus=9", seen)
