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


READER = '''
"""Reader of pub quizzes: {"q", "hints", "right"}."""

from reset_tuning.data.candidates import Candidate, clean
from reset_tuning.data.passages import answer_finder, choose_passages, joined
from reset_tuning.data.readers.formats import Format, signatures


def read_quiz(record, options):
    """Yield the question of a record; its hints are the passages."""
    hints = [clean(hint) for hint in record["hints"]]
    finder = answer_finder([record["right"]])
    chosen = choose_passages(
        hints, lambda index: finder(hints[index]), options.max_passages, options.gold
    )
    yield Candidate(
        question=clean(record["q"]), context=joined(chosen.passages),
        references=(clean(record["right"]),), gold_ranks=chosen.gold_ranks,
        gold_retrieved=chosen.gold_retrieved,
    )


FORMATS = (Format("pub_quiz", "extractive_qa", signatures("q hints right"), read_quiz),)
'''


def test_a_new_raw_format_is_one_small_module(tree: Path) -> None:
    """The reader's file and the YAML are all that is added; errors and rules come by themselves."""
    quiz = [{"q": f"Who won {n}?", "hints": [f"It was x{n}."], "right": f"x{n}"} for n in range(4)]
    quiz += [{"q": "Who lost?", "hints": ["Nobody knows."], "right": "y"}, {"q": "Who?"}]
    raw = tree.parent / "raw/trivia/test.jsonl.gz"
    raw.write_bytes(gzip.compress("".join(json.dumps(one) + "\n" for one in quiz).encode()))
    overlay = yaml.safe_load((tree / "mine.yaml").read_text())
    overlay["datasets"]["pub_trivia"]["format"] = "pub_quiz"
    (tree / "mine.yaml").write_text(yaml.safe_dump(overlay))
    (tree / "scripts/reset_tuning/data/readers/quizzes.py").write_text(READER)
    target = "results/mine/data/pub_trivia/test.parquet"
    result = run_snakemake(
        tree, target, "--cores", "1", "--configfile", "mine.yaml",
        RESET_RAW_DIR=str(tree.parent / "raw"),
    )  # fmt: skip
    assert result.returncode == 0, result.stdout
    ledger = read_table(tree / "results/mine/data/pub_trivia/test.ledger.csv", "ledger")
    dropped = dict(zip(ledger["rule"], ledger["n_dropped"], strict=True))
    assert (dropped["bad_row"], dropped["gold_not_in_passages"]) == (1, 1)
    assert len(read_table(tree / target, "example")) == 3
