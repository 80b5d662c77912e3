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
    (folder / "mine.yaml").write_text(yaml.safe_dump({"judges": {"chatgpt": judge}}))
    return folder


def job(tree: Path, judge: str) -> str:
    """Return what a dry run prints of the judge's job."""
    result = run_snakemake(tree, "-n", TARGET.format(judge=judge), "--configfile", "mine.yaml")
    assert result.returncode == 0, result.stdout
    blocks = re.split(r"\n(?=(?:local)?rule \w+:)", result.stdout)
    (block,) = [block for block in blocks if f"judge={judge}" in block]
    return block


def test_a_served_judge_runs_where_its_gpus_are(tree: Path) -> None:
    block = job(tree, "chatgpt")
    assert block.startswith("rule query_judge_served:")
    assert "gpu=2" in block and "mem_mb=102000" in block


def test_a_judge_behind_an_address_is_asked_from_here(tree: Path) -> None:
    block = job(tree, "gpt-4")
    assert block.startswith("rule query_judge:") and "gpu=0" in block
    # A dry run does not say which rules are local.
    local = re.search(r"localrules:\n((?:    \w+,\n)+)", (tree / "rules/judge.smk").read_text())
    assert local and "    query_judge,\n" in local[1] and "_served" not in local[1]
