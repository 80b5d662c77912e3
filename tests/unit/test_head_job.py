"""The head job's script with false commands of SLURM: no cluster is needed for what it decides."""

import os
import subprocess
from pathlib import Path

import pytest

from helpers import ROOT

SCRIPT = ROOT / "profiles" / "slurm" / "head_job.sh"
OWN, OTHER = "reset_0a1b2c3d-1", "reset_9f8e7d6c-2"


def program(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(f"#!/bin/bash\n{text}\n")
    (folder / name).chmod(0o755)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder with a journal of runs, a snakemake that tells its arguments, a squeue that knows
    the job of another clone alone."""
    journal = tmp_path / "results" / "paper" / "logs" / "slurm_runs.txt"
    journal.parent.mkdir(parents=True)
    journal.write_text(f"{OWN}\nmine_11111111-3\n")
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    program(bin_, "snakemake", f'echo "$@" >>{tmp_path}/asked.txt; env >{tmp_path}/variables.txt')
    program(bin_, "squeue", f'case "$*" in *{OTHER}* | *--format=%j*) echo {OTHER};; esac')
    return tmp_path


def head(clone: Path, **variables: str) -> str:
    """Run the script as SLURM would, and return what it says."""
    slurm = {"SLURM_JOB_ID": "7", "SLURM_JOB_NAME": "reset", "SLURM_SUBMIT_DIR": str(clone)}
    path = {"PATH": f"{clone / 'bin'}:{os.environ['PATH']}", "RESET_HEAD_POLL": "0.1"}
    done = subprocess.run(
        ["bash", str(SCRIPT), "prepare"],
        env=os.environ | path | slurm | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_wishes_of_the_user_reach_the_jobs_and_what_slurm_sets_does_not(clone: Path) -> None:
    wishes = {"SBATCH_QOS": "long", "SBATCH_RESERVATION": "course", "SBATCH_ACCOUNT": "lab"}
    head(clone, SLURM_CPUS_PER_TASK="4", SBATCH_CPU_BIND="none", SBATCH_MEM_BIND_LIST="", **wishes)
    seen = dict(line.split("=", 1) for line in (clone / "variables.txt").read_text().splitlines())
    assert wishes.items() <= seen.items()
    assert not [name for name in seen if name.startswith(("SLURM_", "SBATCH_CPU", "SBATCH_MEM"))]


def test_a_second_life_waits_for_its_own_jobs_alone(clone: Path) -> None:
    assert "waiting" not in head(clone, SLURM_RESTART_COUNT="1")
    squeue = f"""
        case "$*" in *mine_*) exit 1;; *{OWN}*) ;; *) exit;; esac
        [ -e {clone}/ended ] || echo 12
        touch {clone}/ended"""
    program(clone / "bin", "squeue", squeue)
    assert "waiting for 1 jobs" in head(clone, SLURM_RESTART_COUNT="1")
    assert "--unlock" in (clone / "asked.txt").read_text()


def test_a_queue_that_does_not_answer_is_asked_again(clone: Path) -> None:
    squeue = f"[ -e {clone}/asked ] || {{ touch {clone}/asked; exit 1; }}"
    program(clone / "bin", "squeue", squeue)
    assert "squeue does not answer" in head(clone, SLURM_RESTART_COUNT="1")


def test_every_name_of_a_job_is_a_prefix_that_the_plugin_takes(clone: Path) -> None:
    head(clone, SLURM_JOB_NAME="exp.v2 (new)")
    head(clone, SLURM_JOB_NAME="x" * 60)
    first, second = (clone / "asked.txt").read_text().splitlines()
    assert "--slurm-jobname-prefix exp-v2--new- " in first
    assert f"--slurm-jobname-prefix {'x' * 50} " in second
