"""A dataset of one's own: YAML alone, from the raw file to the examples."""

import gzip
import json
import os
import re
import shutil
from pathlib import Path

import pytest
import yaml

from helpers import ROOT, copy_tree, planned_jobs, run_snakemake
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


def test_what_lies_there_decides_and_not_where(tree: Path) -> None:
    """Other files of the same names, older ones too; not another folder, a licence or a hint."""
    target = ("results/mine/data/pub_trivia/test.parquet", "--cores", "1", "--configfile")
    raw, moved = tree.parent / "raw", tree.parent / "moved"
    assert run_snakemake(tree, *target, "mine.yaml", RESET_RAW_DIR=str(raw)).returncode == 0
    shutil.copytree(raw, moved)  # as with `cp -p`, `rsync -a`, `tar`
    overlay = yaml.safe_load((tree / "mine.yaml").read_text())
    overlay["datasets"]["pub_trivia"]["source"] |= {"licence": "CC-BY-4.0", "access": "ask"}
    (tree / "mine.yaml").write_text(yaml.safe_dump(overlay))
    planned = run_snakemake(tree, "-n", *target, "mine.yaml", RESET_RAW_DIR=str(moved))
    assert "Nothing to be done" in planned.stdout, planned.stdout
    planned = run_snakemake(tree, "-n", *target, "mine.yaml", RESET_RAW_DIR="")
    assert "Nothing to be done" in planned.stdout, "a new shell, without RESET_RAW_DIR"
    file = moved / "trivia/test.jsonl.gz"
    file.write_bytes(gzip.compress(gzip.decompress(file.read_bytes()) + b"\n"))
    os.utime(file, (1e9, 1e9))
    planned = run_snakemake(tree, "-n", *target, "mine.yaml", RESET_RAW_DIR=str(moved))
    assert planned_jobs(planned.stdout) == {"fetch_raw": 1, "prepare_split": 1}


def reader_of_the_page() -> str:
    """The example of docs/data.md."""
    page = (ROOT / "docs/data.md").read_text()
    (example,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    return example


def test_a_new_raw_format_is_one_small_module(tree: Path) -> None:
    """The reader's file and the YAML are all that is added; errors and rules come by themselves."""
    quiz = [
        {"q": f"Who won {n}?", "hints": [f"It was x{n}."], "right": ["z", f"x{n}"]}
        for n in range(4)
    ]
    quiz += [{"q": "Who lost?", "hints": ["Nobody knows."], "right": "y"}, {"q": "Who?"}]
    quiz += [{"q": "Who?", "hints": [" "], "right": "y"}]
    raw = tree.parent / "raw/trivia/test.jsonl.gz"
    raw.write_bytes(gzip.compress("".join(json.dumps(one) + "\n" for one in quiz).encode()))
    overlay = yaml.safe_load((tree / "mine.yaml").read_text())
    overlay["datasets"]["pub_trivia"]["format"] = "pub_quiz"
    (tree / "mine.yaml").write_text(yaml.safe_dump(overlay))
    (tree / "scripts/reset_tuning/data/readers/quizzes.py").write_text(reader_of_the_page())
    target = "results/mine/data/pub_trivia/test.parquet"
    result = run_snakemake(
        tree, target, "--cores", "1", "--configfile", "mine.yaml",
        RESET_RAW_DIR=str(tree.parent / "raw"),
    )  # fmt: skip
    assert result.returncode == 0, result.stdout
    ledger = read_table(tree / "results/mine/data/pub_trivia/test.ledger.csv", "ledger")
    dropped = dict(zip(ledger["rule"], ledger["n_dropped"], strict=True))
    assert [dropped[rule] for rule in ("bad_row", "no_context", "gold_not_in_passages")] == [
        1,
        1,
        1,
    ]
    examples = read_table(tree / target, "example")
    assert len(examples) == 3
    # What is trained on stands in the passages.
    assert all(row.references[0] in row.context for row in examples.itertuples())
