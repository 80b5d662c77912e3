"""A dataset of one's own: YAML alone, from the raw file to the examples."""

import gzip
import json
from pathlib import Path

import pytest
import yaml

from helpers import copy_tree, run_snakemake
from reset_tuning.tables import read_table

OVERLAY = {
    "experiment": "mine",
    "datasets": {
        "pub_trivia": {
            "kind": "extractive_qa",
            "format": "auto",
            "task": "extract_span",
            "on_bad_row": "drop-and-count",
            "splits": {"test": {"size": 3}},
            "source": {
                "type": "local",
                "directory": "trivia",
                "files": {"test": ["*.jsonl.gz"]},
                "licence": "CC0",
            },
            "filters": ["no_answer", "gold_not_in_passages"],
        }
    },
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    questions = [
        {"question": f"Who won game {n}?", "answers": [f"team{n}"], "ctxs": [{"text": text}]}
        for n, text in enumerate([f"Of game {n} team{n} was the winner." for n in range(5)])
    ]
    questions.append({"question": "Who lost?", "answers": ["nobody"], "ctxs": [{"text": "No."}]})
    lines = "".join(json.dumps(question) + "\n" for question in questions) + '{"question": \n'
    (tmp_path / "raw/trivia").mkdir(parents=True)
    (tmp_path / "raw/trivia/test.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    workflow = copy_tree(tmp_path / "workflow")
    (workflow / "mine.yaml").write_text(yaml.safe_dump(OVERLAY))
    return workflow


def test_a_made_up_dataset_is_yaml_only(tree: Path) -> None:
    target = "results/mine/data/pub_trivia/test.parquet"
    result = run_snakemake(
        tree, target, "--cores", "1", "--configfile", "mine.yaml",
        RESET_RAW_DIR=str(tree.parent / "raw"),
    )  # fmt: skip
    assert result.returncode == 0, result.stdout
    examples = read_table(tree / target, "example")
    assert len(examples) == 3 and set(examples["dataset"]) == {"pub_trivia"}
    ledger = read_table(tree / "results/mine/data/pub_trivia/test.ledger.csv", "ledger")
    assert dict(zip(ledger["rule"], ledger["n_dropped"], strict=True)) == {
        "read": 0, "bad_row": 1, "no_context": 0, "unsupported_type": 0, "no_answer": 0,
        "gold_not_in_passages": 1,
        "duplicate_content": 0, "not_sampled_for_evaluation": 2,
    }  # fmt: skip
    manifest = json.loads((tree / "raw/pub_trivia/manifest.json").read_text())
    assert manifest["licence"] == "CC0" and manifest["files"][0]["fetched"]


def test_it_stands_in_every_evaluation_and_document(tree: Path) -> None:
    raw = str(tree.parent / "raw")
    target = "results/mine/generations/vicuna-7b/seed-0/start.parquet"
    result = run_snakemake(tree, "-n", target, "--configfile", "mine.yaml", RESET_RAW_DIR=raw)
    assert "results/mine/data/pub_trivia/test.parquet" in result.stdout
    target = "results/mine/examples/prompt-pub_trivia.md"
    result = run_snakemake(tree, "-n", target, "--configfile", "mine.yaml", RESET_RAW_DIR=raw)
    assert result.returncode == 0, result.stdout
