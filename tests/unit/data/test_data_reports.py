"""The data table, gold positions, and the report of overlaps and shared n-grams."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from raw_samples import example

from report_overlaps import main as report_overlaps
from reset_tuning.data.contamination import ANY, contaminated_texts, ngram_hashes
from reset_tuning.data.ledger import Ledger
from reset_tuning.tables import read_table, table_schema, write_table
from tabulate_data import main as tabulate_data

LONG = "the quick brown fox jumps over the lazy dog while nine other animals look on in silence"


def split(folder: Path, dataset: str, name: str, rows: list[dict], **counts: int) -> list[Path]:
    """Write a split's table, ledger and overlaps; return their paths."""
    paths = [folder / f"{dataset}.{name}{suffix}" for suffix in (".parquet", ".ledger.csv")]
    write_table(pd.DataFrame(rows), paths[0], "example")
    ledger = Ledger("data", dataset, name)
    ledger.count("read", counts.get("raw", len(rows)), counts.get("raw", len(rows)))
    ledger.count("no_answer", counts.get("raw", len(rows)), counts.get("kept", len(rows)))
    if "kept" in counts:
        ledger.count("not_sampled_for_evaluation", counts["kept"], len(rows))
    write_table(ledger.frame(), paths[1], "ledger")
    return paths


def question(number: int, dataset: str = "nq", **values: Any) -> dict:
    texts = {"context": "One.\nTwo.", "question": f"Who is number {number}?"}
    return example(f"{number:016x}", "extractive_qa", dataset=dataset, **texts) | values


def test_data_stats_and_gold_positions(tmp_path: Path, tokenizer: Any, template: dict) -> None:
    tokenizer.save_pretrained(tmp_path / "model")
    train = [question(n) for n in range(6)]
    test = [
        question(n, gold_passages=places, gold_retrieved=rank)
        for n, places, rank in [(10, [1], 1), (11, [1, 2], 1), (12, [2], 9)]
    ]
    files = [split(tmp_path, "nq", "train", train, raw=9)]
    files.append(split(tmp_path, "nq", "test", test, raw=8, kept=5))
    prompts = {"prompt": "p", "response": "r", "set": "nq"}
    counts = {"n_prompt_tokens": 30, "n_response_tokens": 4, "n_context_tokens_cut": 0}
    mixed = pd.DataFrame([row | prompts | counts for row in train])
    mixed["n_context_tokens_cut"] = [5, 0, 0, 0, 0, 0]
    copies = pd.concat([mixed[:4].assign(copy=0), mixed[:4].assign(copy=1)])
    write_table(copies, tmp_path / "train.parquet", "mixture")
    write_table(mixed[4:].assign(copy=0), tmp_path / "validation.parquet", "mixture")
    tabulate_data(
        examples=[paths[0] for paths in files],
        ledgers=[paths[1] for paths in files],
        train=[tmp_path / "train.parquet", tmp_path / "train.parquet"],
        validation=[tmp_path / "validation.parquet"],
        stats=tmp_path / "stats.csv",
        positions=tmp_path / "gold.csv",
        tokenizer_path=str(tmp_path / "model"),
        template=template,
        tasks={"nq": "Extract."},
        max_length=400,
        reserved_tokens=20,
        seen=["nq"],
    )
    stats = read_table(tmp_path / "stats.csv", "data_stats").set_index("split")
    assert stats.loc["train", ["role", "n_raw", "n_kept", "n_used", "n_validation"]].to_list() == [
        "train", 9, 6, 4, 2,
    ]  # fmt: skip
    assert stats.loc["train", ["mean_prompt_tokens", "n_contexts_cut"]].to_list() == [30.0, 1]
    assert stats.loc["test", ["role", "n_raw", "n_kept", "n_used"]].to_list() == ["seen", 8, 5, 3]
    assert stats.loc["test", "mean_prompt_tokens"] > 50
    response = len(tokenizer("yes", add_special_tokens=False)["input_ids"])
    assert stats.loc["test", "mean_response_tokens"] == response + 1, "with the end, as in training"
    gold = read_table(tmp_path / "gold.csv", "gold_positions")
    assert gold[["rank", "n_in_context", "n_in_retrieval"]].to_numpy().tolist() == [
        [1, 2, 2], [2, 1, 0], [9, 0, 1],
    ]  # fmt: skip


def test_overlaps_of_every_pair_of_sets(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    nq = [question(1), question(2, question=f"{LONG} and why")]
    alpaca = [
        example("a" * 16, dataset="alpaca", instruction="who is number 1"),
        example("b" * 16, dataset="alpaca", instruction=f"{LONG} and why not"),
        example("c" * 16, dataset="alpaca", instruction="something new " * 10),
    ]
    tests = split(tmp_path, "alpaca", "test", alpaca)[0]
    training = [split(tmp_path, name, "train", rows)[0] for name, rows in [
        ("nq", nq), ("dolly", [example("d" * 16, instruction="x", references=[LONG])]),
    ]]  # fmt: skip
    found = {"example_id": "e", "source_row": "f:1", "training_id": "t", "text": "…"}
    dropped = pd.DataFrame(
        [
            found | {"training": "nq", "kind": "near", "similarity": 0.9},
            found | {"training": "dolly", "kind": "exact", "similarity": 1.0},
        ],
        columns=table_schema("overlap").names,
    )
    write_table(dropped, tmp_path / "overlaps.csv", "overlap")
    report_overlaps(
        tests=[tests],
        dropped=[tmp_path / "overlaps.csv"],
        training=training,
        table=tmp_path / "table.csv",
        datasets=["alpaca"],
        near_duplicates={"threshold": 0.8, "n_words": 3},
    )
    table = read_table(tmp_path / "table.csv", "overlaps").set_index("training")
    assert list(table.index) == ["nq", "dolly", "any"]
    columns = ["n_found_exact", "n_found_near", "n_left_exact", "n_left_near", "n_contaminated"]
    assert table.loc["nq", columns].to_list() == [0, 1, 1, 1, 1]
    assert table.loc["dolly", columns].to_list() == [1, 0, 0, 0, 1]
    assert table.loc["any", "n_found_exact"] == 1 and table.loc["any", "n_found_near"] == 0
    assert table.loc["any", ["n_test", "n_tested", "n_contaminated"]].to_list() == [3, 2, 1]
    assert table.loc["any", "contamination_rate"] == 0.5
    assert "alpaca: 1 test examples stand in the training set nq too (near)" in caplog.text


@pytest.mark.parametrize(("n_shared", "is_contaminated"), [(17, True), (14, True), (13, False)])
def test_seven_tenths_of_the_ngrams_contaminate(
    tmp_path: Path, n_shared: int, is_contaminated: bool
) -> None:
    words = [f"w{n}" for n in range(17)]  # ten 8-grams
    shared = " ".join(words[:n_shared])  # n - 7 of them
    rows = [example("a" * 16, instruction="x", references=[shared])]
    training = split(tmp_path, "dolly", "train", rows)[0]
    found = contaminated_texts([" ".join(words)], [training])
    assert (0 in found["dolly"]) == is_contaminated
    assert found[ANY] == found["dolly"]


def test_short_texts_have_no_ngrams() -> None:
    assert ngram_hashes("one two three").size == 0
    assert ngram_hashes("a b c d e f g h").size == 1
    first, second = ngram_hashes("a b c d e f g h i"), ngram_hashes("A, b c d e f g h!")
    assert first[0] == second[0] and first[1] != first[0]
