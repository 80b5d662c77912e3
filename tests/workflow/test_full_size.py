"""The paper at full size, as dry runs: size of the DAG, stages, single files, profiles."""

from pathlib import Path

import pytest
import yaml

from helpers import copy_tree, planned_jobs, run_snakemake

SINGLE_FILES = {
    "data/nq/train.parquet": {"fetch_raw": 1, "prepare_split": 1},
    "data/alpaca/test.parquet": {"fetch_raw": 8, "prepare_split": 8},
    "mixtures/context/train.parquet": {"fetch_raw": 3, "prepare_split": 3, "build_mixture": 1},
    "runs/mtl.json": {"resolve_run": 1},
    "checkpoints/llama-cd-if/seed-1/best/model.safetensors": {
        "fetch_raw": 7,
        "prepare_split": 7,
        "build_mixture": 2,
        "resolve_run": 2,
        "train": 2,
    },
    "selected/reset-s/seed-1.parquet": {"train": 1, "sample_outputs": 1, "select_samples": 1},
    "judgments/generations/vicuna-7b/seed-0/start/gpt-4.raw.parquet": {
        "generate_outputs": 1,
        "query_judge": 1,
    },
    "scores/generations/mtl/seed-3/best/summac-zs.parquet": {"train": 1, "score_entailment": 1},
    "metrics/main_table.csv": {"train": 27, "collect_scores": 1, "tabulate_main": 1},
}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_tree(tmp_path_factory.mktemp("full") / "workflow")


def plan(tree: Path, *arguments: str) -> dict[str, int]:
    result = run_snakemake(tree, "-n", *arguments)
    assert result.returncode == 0, result.stdout
    return planned_jobs(result.stdout)


def test_whole_paper_has_every_system_and_stays_small(tree: Path) -> None:
    jobs = plan(tree)
    assert sum(jobs.values()) <= 1000
    assert jobs["train"] == 27  # nine runs, three seeds
    assert jobs["fetch_raw"] == 13
    assert (
        jobs["generate_outputs"] == 38
    )  # 46 points; starts that are another run's best count once


@pytest.mark.parametrize("overlay", ["one_gpu", "one_gpu_lora"])
def test_one_gpu_runs_the_same_jobs(tree: Path, overlay: str) -> None:
    jobs = plan(tree, "--configfile", f"config/{overlay}.yaml", "--resources", "gpu=1")
    assert jobs == plan(tree)


def test_a_fraction_of_a_minute_reaches_the_training(tree: Path) -> None:
    """Snakemake rounds resources: half a minute would be 0, a state after every step."""
    target = "results/paper/checkpoints/llama-cd/seed-1/best/model.safetensors"
    done = run_snakemake(tree, "-n", target, "--config", "launch={resume_minutes: 0.5}")
    assert done.returncode == 0, done.stdout
    assert "resume_minutes=0.5" in done.stdout.split("rule train:")[1]


@pytest.mark.parametrize(("name", "expected"), SINGLE_FILES.items())
def test_one_file_plans_only_what_it_needs(tree: Path, name: str, expected: dict[str, int]) -> None:
    jobs = plan(tree, f"results/paper/{name}")
    assert expected.items() <= jobs.items(), jobs


def test_a_stage_stops_where_it_should(tree: Path) -> None:
    assert "train" not in plan(tree, "prepare")
    assert not {"query_judge", "collect_scores"} & set(plan(tree, "prepare"))
    assert plan(tree, "reset").get("tabulate_main") is None
    assert plan(tree, "robustness")["train"] >= 6


def test_a_new_run_and_a_new_judge_are_yaml_only(tree: Path) -> None:
    overlay = tree / "mine.yaml"
    overlay.write_text(
        yaml.safe_dump(
            {
                "models": {
                    "llama-13b": {
                        "hub": "huggyllama/llama-13b",
                        "dtype": "bfloat16",
                        "attention": "sdpa",
                    }
                },
                "judges": {
                    "my-judge": {
                        "kind": "openai",
                        "model": "local",
                        "prompt": "judge_rating",
                        "temperature": 0,
                        "max_tokens": 512,
                        "scale": "rating_over_ten",
                        "base_url": "http://127.0.0.1:8000/v1",
                        "concurrency": 4,
                    }
                },
                "runs": {
                    "big-mtl": {
                        "base": "llama-13b",
                        "mixture": "all",
                        "evaluate": ["best"],
                        "seeds": [7],
                    }
                },
            }
        )
    )
    target = "results/paper/scores/generations/big-mtl/seed-7/best/my-judge.parquet"
    jobs = plan(tree, target, "--configfile", str(overlay))
    assert jobs["train"] == 1
    assert jobs["query_judge"] == 1


@pytest.mark.parametrize("profile", ["slurm", "profiles/slurm", "profiles/local"])
def test_training_asks_for_one_node_of_eight_gpus(tree: Path, profile: str) -> None:
    target = "results/paper/checkpoints/mtl/seed-1/best/model.safetensors"
    result = run_snakemake(tree, "-n", "--profile", profile, target)
    assert result.returncode == 0, result.stdout
    resources = result.stdout.split("rule train:")[1].split("resources:")[1].splitlines()[0]
    assert "gpu=8" in resources and "nodes=1" in resources and "tasks" not in resources


def test_every_stage_is_listed_with_its_docstring(tree: Path) -> None:
    listed = run_snakemake(tree, "--list-target-rules").stdout
    for stage in (
        "all",
        "prepare",
        "checkpoints",
        "tradeoff",
        "reset",
        "paper",
        "robustness",
        "missing",
        "mini_models",
    ):
        assert f"\n{stage} (" in f"\n{listed}"


def test_lint_is_clean(tree: Path) -> None:
    result = run_snakemake(tree, "--lint")
    assert result.returncode == 0, result.stdout
