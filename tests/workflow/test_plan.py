"""The plan and the preflight at full size: what they say, and that nothing depends on them."""

import re
from base64 import urlsafe_b64encode
from pathlib import Path

import pandas as pd
import pytest

from helpers import copy_tree, planned_jobs, run_snakemake

# Preflight asks hosts whether they answer: here none does, and no test leaves the machine.
OFFLINE = {"HF_HUB_OFFLINE": "1", "https_proxy": "http://127.0.0.1:9"}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_tree(tmp_path_factory.mktemp("plan") / "workflow")


# Snakemake and its executor wait these times before they end, also when nothing was submitted.
SLURM = ("--profile", "slurm", "--slurm-init-seconds-before-status-checks", "1")
SLURM += ("--max-jobs-per-timespan", "1000/1s")


def plan(tree: Path, *arguments: str, **environment: str) -> pd.DataFrame:
    done = run_snakemake(tree, "plan", "--cores", "1", *arguments, **environment)
    assert done.returncode == 0, done.stdout[-3000:]
    return pd.read_csv(tree / "results" / "paper" / "plan" / "plan.csv").set_index("rule")


def test_the_paper_as_planned(tree: Path) -> None:
    table = plan(tree)
    jobs = planned_jobs(run_snakemake(tree, "-n").stdout)
    jobs.pop("all")
    assert table["jobs"].drop("total").to_dict() == jobs
    assert 650 < table.loc["total", "gpu_hours"] < 1200
    assert 500 < table.loc["total", "dollars"] < 1500
    assert table.loc["train", "tokens"] > 3e9


def test_another_target_and_a_profile(tree: Path) -> None:
    prepare = plan(tree, "--config", "plan={target: prepare}")
    assert "train" not in prepare.index and prepare.loc["total", "gpu_hours"] == 0
    robustness = plan(tree, *SLURM, "--config", "plan={target: robustness}")
    # Two runs of three epochs with three seeds, and the paper's nine runs to compare them with.
    assert robustness.loc["train", "jobs"] == 33


def test_two_nodes_use_as_many_gpu_hours_as_one(tree: Path) -> None:
    target = "plan={target: results/paper/checkpoints/mtl/seed-1/best/model.safetensors}"
    arguments = (*SLURM, "--config", target)
    one = plan(tree, *arguments).loc["train"]
    two = plan(tree, *arguments, RESET_TRAINING_NODES="2").loc["train"]
    assert two["gpu_hours"] == pytest.approx(one["gpu_hours"], rel=0.05)
    assert two["hours"] == pytest.approx(one["hours"] / 2, rel=0.05)


def test_a_limit_fails_with_one_sentence(tree: Path) -> None:
    done = run_snakemake(
        tree, "plan", "--cores", "1", "--config", "plan={limits: {gpu_hours: 5, judge_dollars: 1}}"
    )
    error, *again = [line for line in done.stdout.splitlines() if " ERROR " in line]
    assert set(again) <= {error}  # Snakemake may show a failed job's log
    assert done.returncode != 0 and "Traceback" not in done.stdout
    assert "gpu_hours 5" in error and "judge_dollars 1" in error


@pytest.mark.parametrize(
    ("rule", "refused"), [("plan", "above plan.limits"), ("preflight", "checks failed")]
)
def test_a_verdict_is_asked_for_once(tree: Path, rule: str, refused: str) -> None:
    """A profile's retries are for jobs that may succeed the next time."""
    limits = ("--config", "plan={limits: {gpu_hours: 5}}")
    done = run_snakemake(tree, rule, "-c1", "--retries", "2", *limits, **OFFLINE)
    assert done.returncode != 0 and refused in done.stdout
    assert "Trying to restart job" not in done.stdout


def test_a_target_that_does_not_exist_is_told(tree: Path) -> None:
    done = run_snakemake(tree, "plan", "--cores", "1", "--config", "plan={target: nowhere}")
    assert done.returncode != 0
    assert "nowhere cannot be planned" in done.stdout and "Traceback" not in done.stdout


def test_a_killed_run_can_be_planned(tmp_path: Path) -> None:
    """Snakemake remembers files that a job had begun; every profile has them made again."""
    tree, target = copy_tree(tmp_path / "workflow"), "results/paper/runs/mtl.json"
    assert run_snakemake(tree, target, "--cores", "1").returncode == 0
    begun = tree / ".snakemake" / "incomplete" / urlsafe_b64encode(target.encode()).decode()
    begun.parent.mkdir(exist_ok=True)
    begun.write_text('{"external_jobid": null}')
    assert plan(tree, "--config", f"plan={{target: {target}}}").loc["resolve_run", "jobs"] == 1


def test_a_run_leaves_the_lock_of_one_beside_it(tmp_path: Path) -> None:
    tree = copy_tree(tmp_path / "workflow")
    lock = tree / ".snakemake" / "locks" / "0.output.lock"
    lock.parent.mkdir(parents=True)
    lock.write_text("results/paper/runs/vicuna-cd.json\n")
    assert run_snakemake(tree, "results/paper/runs/mtl.json", "-c1").returncode == 0
    assert [file.name for file in lock.parent.iterdir()] == [lock.name]
    refused = run_snakemake(tree, "results/paper/runs/vicuna-cd.json", "-c1")
    assert refused.returncode == 1 and "cannot be locked" in refused.stdout
    assert run_snakemake(tree, "--unlock").returncode == 0 and not lock.exists()


def test_nothing_depends_on_plan_or_preflight(tree: Path) -> None:
    jobs = planned_jobs(run_snakemake(tree, "-n", "all", "robustness").stdout)
    assert not {"plan", "preflight"} & set(jobs)


def test_preflight_fails_where_the_paper_cannot_run(tree: Path) -> None:
    done = run_snakemake(tree, "preflight", "--cores", "1", **OFFLINE, OPENAI_API_KEY="")
    assert done.returncode != 0 and "Traceback" not in done.stdout
    error, *again = [line for line in done.stdout.splitlines() if " ERROR " in line]
    assert set(again) <= {error}
    assert "checks failed" in error and "judge gpt-4" in error
    assert re.search(r"data koala_eval +warning .* does not answer this machine", done.stdout)


def test_thirty_seeds_are_ten_times_the_jobs(tree: Path) -> None:
    def jobs(seeds: int) -> int:
        listed = ",".join(map(str, range(1, seeds + 1)))
        done = run_snakemake(tree, "-n", "-q", "rules", "progress", "--config", f"seeds=[{listed}]")
        return sum(planned_jobs(done.stdout).values())

    once, ten_times = jobs(3), jobs(30)
    assert once <= 1000 and ten_times <= 10 * once
