"""From jobs to the table: totals, disk, limits, chains of jobs."""

import logging
from pathlib import Path

import pytest

from helpers import ROOT
from reset_tuning.errors import InputError
from reset_tuning.planning.disk import resume_states, training_need
from reset_tuning.planning.jobs import (
    JobRecorder,
    PlannedJob,
    longest_chain,
    read_jobs,
    widest_level,
)
from reset_tuning.planning.plan import Planner, check_limits
from reset_tuning.planning.report import format_plan
from reset_tuning.tables import write_table

KNOWLEDGE = ROOT / "resources" / "planning"
PROMPT = {"system": "Rate.", "user": "{question}\n{answer}"}


def made(rule: str, output: str, *inputs: str, gpus: int = 0, **wildcards: str) -> PlannedJob:
    return PlannedJob(rule, wildcards, inputs, (output,), gpus, 1)


def trainings(*runs: str, seeds: int = 3) -> list[PlannedJob]:
    return [
        made("train", f"{run}-{seed}", gpus=8, run=run, seed=str(seed))
        for run in runs
        for seed in range(1, seeds + 1)
    ]


def planner(config: dict, results: Path, jobs: list[PlannedJob]) -> Planner:
    config["paths"]["records"] = str(results / "records")
    return Planner(config, results, KNOWLEDGE, dict.fromkeys(config["judges"], PROMPT), jobs)


def test_the_recorder_writes_jobs_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "jobs.jsonl"
    logger = logging.getLogger("a test of the recorder")
    logger.setLevel(logging.INFO)
    logger.addHandler(JobRecorder(path))
    logger.info("no job")
    event = {
        "event": "job_info",
        "rule_name": "train",
        "wildcards": {"run": "mtl"},
        "input": ["a"],
        "output": ["b"],
        "resources": {"gpu": 8, "nodes": 1, "mem_mb": "<TBD>"},
    }
    logger.info("a job", extra=event)
    logger.info("a target", extra=event | {"rule_name": "all", "output": []})
    several = {"gpu": 0, "gpus_per_node": 8, "nodes": 2}
    logger.info("a job of two nodes", extra=event | {"resources": several})
    job, wide = read_jobs(path)
    assert (wide.gpus, wide.nodes) == (16, 2)
    assert (job.rule, job.wildcards, job.gpus, job.nodes) == ("train", {"run": "mtl"}, 8, 1)
    assert (job.inputs, job.outputs) == (("a",), ("b",))
    assert read_jobs(tmp_path / "absent") == []


def test_a_chain_is_as_long_as_its_jobs_wait_for_each_other() -> None:
    first, second = made("train", "x"), made("train", "y", "x")
    beside, last = made("train", "z"), made("score", "w", "y", "z")
    jobs = [last, second, first, beside]
    hours = {first: 3.0, second: 4.0, beside: 5.0, last: 1.0}
    assert longest_chain(jobs, hours) == 8.0
    assert widest_level(jobs, "train") == 2
    assert longest_chain([], {}) == 0.0


def test_gpu_hours_of_the_heavy_jobs_are_those_of_peers(config: dict, tmp_path: Path) -> None:
    """Four heavy trainings, three seeds: 650 to 1,200 GPU-hours by the notes on peers."""
    jobs = trainings("llama-cd", "llama-cd-if", "vicuna-cd", "mtl")
    plan = planner(config, tmp_path, jobs)
    total = plan.table(plan.estimates()).set_index("rule").loc["total"]
    assert 600 < total["gpu_hours"] < 1300
    assert total["node_hours"] == pytest.approx(total["gpu_hours"] / 8)
    assert total["jobs"] == 12 and total["dollars"] == 0


def test_a_cpu_has_no_gpu_hours(config: dict, tmp_path: Path) -> None:
    config["plan"]["device"] = "cpu"
    plan = planner(config, tmp_path, trainings("mtl"))
    total = plan.table(plan.estimates()).set_index("rule").loc["total"]
    assert total["gpu_hours"] == 0 and total["hours"] > 0


def test_disk_of_a_training_by_hand() -> None:
    """1e9 parameters in bf16: 2 GB of weights twice stays; two states of 14 GB and one more set."""
    need = training_need(2e9, 1e9, tokens=1e6, n_states=2)
    assert need.kept == 4e9
    assert need.transient == pytest.approx(28e9 + 2e9 + 12e6)
    assert [resume_states(minutes * 60, 30) for minutes in (5, 30, 59, 60, 600)] == [0, 1, 1, 2, 2]
    assert resume_states(5, 0) == 2  # one after every step


def test_trainings_that_run_at_once_need_their_states_at_once(config: dict, tmp_path: Path) -> None:
    def disk(runs: list[PlannedJob]) -> float:
        plan = planner(config, tmp_path, runs)
        return plan.table(plan.estimates()).set_index("rule").loc["train", "disk_gb"]

    one, three = disk(trainings("mtl", seeds=1)), disk(trainings("mtl"))
    assert 215 < one < 260
    assert three == pytest.approx(3 * one)
    waiting = [
        made("train", "a", gpus=8, run="mtl", seed="1"),
        made("train", "b", "a", gpus=8, run="mtl", seed="2"),
    ]
    assert disk(waiting) < 2 * one - 150


def test_a_limit_stops_with_one_sentence(config: dict, tmp_path: Path) -> None:
    plan = planner(config, tmp_path, trainings("mtl"))
    table = plan.table(plan.estimates())
    check_limits(table, {})
    check_limits(table, {"gpu_hours": 1e6, "judge_dollars": 0})
    with pytest.raises(
        InputError, match=r"GPU-hours, above plan.limits.gpu_hours 5; .*disk"
    ) as told:
        check_limits(table, {"gpu_hours": 5, "disk_gb": 1})
    assert "\n" not in str(told.value)


def test_nothing_left_is_a_plan_too(config: dict, tmp_path: Path) -> None:
    plan = planner(config, tmp_path, [])
    table = plan.table(plan.estimates())
    assert list(table["rule"]) == ["total"] and table["jobs"].sum() == 0
    assert "nothing is left" in format_plan(table, [], "")
    write_table(table, tmp_path / "plan.csv", "plan")


def test_the_text_shows_every_rule_and_fits_numbers(config: dict, tmp_path: Path) -> None:
    jobs = [*trainings("mtl", seeds=1), made("collect_scores", "scores.csv", "mtl-1")]
    plan = planner(config, tmp_path, jobs)
    table = plan.table(plan.estimates())
    write_table(table, tmp_path / "plan.csv", "plan")
    text = format_plan(table, [], "a note")
    assert "train" in text and "collect_scores" in text and text.endswith("a note\n")
    assert "nan" not in text
