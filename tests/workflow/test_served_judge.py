"""A judge whose server the job starts asks for its machine; one behind an address stays local."""

import re
from pathlib import Path

import pytest
import yaml

from helpers import copy_tree, run_snakemake

SERVER = {"command": "vllm serve {model} --port {port}", "gpus": 2, "memory_gb": 100}
TARGET = "results/paper/judgments/generations/vicuna-7b/seed-0/start/{judge}.raw.parquet"


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = copy_tree(tmp_path_factory.mktemp("tree") / "workflow")
    judge = {"server": SERVER, "api_key_variable": None, "model": "Qwen/Qwen2.5-72B-Instruct"}
    small = judge | {"server": SERVER | {"gpus": 0}}
    (folder / "mine.yaml").write_text(yaml.safe_dump({"judges": {"chatgpt": judge}}))
    (folder / "small.yaml").write_text(yaml.safe_dump({"judges": {"chatgpt": small}}))
    return folder


def job(tree: Path, judge: str, *options: str, config: str = "mine.yaml", **site: str) -> str:
    """Return what a dry run prints of the judge's job."""
    target = TARGET.format(judge=judge)
    result = run_snakemake(tree, "-n", *options, target, "--configfile", config, **site)
    assert result.returncode == 0, result.stdout
    blocks = re.split(r"\n(?=(?:local)?rule \w+:)", result.stdout)
    (block,) = [block for block in blocks if f"judge={judge}" in block]
    return block


def test_a_served_judge_runs_where_its_gpus_are(tree: Path) -> None:
    block = job(tree, "chatgpt")
    assert block.startswith("rule query_judge_served:")
    assert "gpu=2" in block and "mem_mb=102000" in block


def test_the_limits_of_a_site_hold_for_a_served_judge(tree: Path) -> None:
    site = {"RESET_MAX_RUNTIME": "480", "RESET_MAX_MEMORY_MB": "90000"}
    block = job(tree, "chatgpt", "--profile", "slurm", **site)
    assert "runtime=480" in block and "mem_mb=90000" in block


def test_a_server_without_gpus_leaves_their_nodes_to_others(tree: Path) -> None:
    site = {"RESET_GPU_TYPE": "a100", "RESET_GPU_CONSTRAINT": "nvlink"}
    block = job(tree, "chatgpt", "--profile", "slurm", config="small.yaml", **site)
    assert block.startswith("rule query_judge_served_on_cpu:") and "slurm_partition=cpu" in block
    assert "gpu=0" in block and "gpu_model" not in block and "nvlink" not in block


def test_a_judge_behind_an_address_is_asked_from_here(tree: Path) -> None:
    block = job(tree, "gpt-4")
    assert block.startswith("rule query_judge:") and "gpu=0" in block
    # A dry run does not say which rules are local.
    local = re.search(r"localrules:\n((?:    \w+,\n)+)", (tree / "rules/judge.smk").read_text())
    assert local and "    query_judge,\n" in local[1] and "_served" not in local[1]
