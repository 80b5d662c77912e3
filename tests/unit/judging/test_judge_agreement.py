"""The parser and the judges beside people, on files in the public formats."""

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest
from scripted import PROMPT, Answer, Endpoint, completion

from reset_tuning.errors import InputError
from reset_tuning.judging.agreement import tabulate_agreement, tabulate_judge, tabulate_parsing
from reset_tuning.judging.client import Limits
from reset_tuning.judging.query import Policy
from reset_tuning.tables import read_table


def write_lines(path: Path, records: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(record) + "\n" for record in records)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "llm_judge"
    judgments = [
        {"judgment": "Rating: [[8]]", "score": 8}, {"judgment": "[[7.5]]", "score": 7.5},
        {"judgment": "No idea.", "score": -1}, {"judgment": "Rating: 6", "score": -1},
        {"judgment": "I rate it [[3]]", "score": 4}, {"judgment": "nothing", "score": 5},
    ]  # fmt: skip
    write_lines(root / "mt_bench/model_judgment/x_gpt-4_single.jsonl.gz", judgments)
    people = [{"question_id": i, "human_label": label} for i, label in enumerate(
        ["CHATGPT", "VICUNA13B", "TIE", "CHATGPT"])]  # fmt: skip
    write_lines(root / "faireval/review_gpt35_vicuna-13b_human.jsonl", people)
    scores = [[9, 8], [8, 9], [9, 8], [7, 8]]
    reviews = [{"question_id": number, "score": pair} for number, pair in enumerate(scores)]
    write_lines(root / "vicuna_blog_eval/review_gpt35_vicuna-13b.jsonl", reviews)
    rows = [
        {"annotator1": a, "annotator2": b, "annotator3": 0} for a, b in ((1, 1), (2, 1), (0, 0))
    ]
    (root / "pandalm").mkdir()
    (root / "pandalm" / "testset.json").write_text(json.dumps(rows))
    pairs = [
        {"input": "q", "output_1": "good", "output_2": "bad", "label": 1},
        {"input": "q", "output_1": "bad", "output_2": "good", "label": 1},
        {"input": "q", "output_1": "bad", "output_2": "bad too", "label": 2},
        {"input": "q", "output_1": "silent", "output_2": "good", "label": 2},
    ]
    (root / "llmbar").mkdir()
    (root / "llmbar" / "natural.json").write_text(json.dumps(pairs))
    return root


def test_the_parser_is_compared_with_stored_ratings(folder: Path, tmp_path: Path) -> None:
    tabulate_parsing(folder, tmp_path / "parsing.csv")
    (row,) = read_table(tmp_path / "parsing.csv", "judge_parsing").to_dict("records")
    assert row == {
        "file": "x_gpt-4_single.jsonl.gz", "n": 6, "n_equal": 3, "n_other_rating": 1,
        "n_only_stored": 1, "n_only_ours": 1, "n_unparsed": 2,
    }  # fmt: skip


def test_reviews_and_people_are_compared(folder: Path, tmp_path: Path) -> None:
    tabulate_agreement(folder, tmp_path / "agreement.csv")
    table = read_table(tmp_path / "agreement.csv", "judge_agreement").set_index(["first", "second"])
    reviews = table.loc[("gpt-4", "people")]
    assert reviews[["n", "agreement", "n_decided"]].tolist() == [4, 0.5, 3]
    assert reviews["agreement_decided"] == pytest.approx(2 / 3)
    assert table.loc[("annotator1", "annotator2"), "agreement"] == pytest.approx(2 / 3)
    assert len(table) == 4


def test_a_judge_is_compared_with_peoples_choices(
    folder: Path, tmp_path: Path, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    ratings = {"good": "[[9]]", "bad": "[[3]]", "bad too": "[[3]]", "silent": "nothing"}

    def take(body: dict[str, Any]) -> Answer:
        endpoint.bodies.append(body)
        answer = body["messages"][1]["content"].rpartition("Answer: ")[2]
        return Answer(body=completion(ratings[answer]))

    monkeypatch.setattr(endpoint, "take", take)
    spec = {"kind": "openai", "model": "judge", "base_url": endpoint.base_url}
    for _ in range(2):
        tabulate_judge(
            folder, tmp_path / "judge.csv", "gpt-4", spec, PROMPT, tmp_path / "records",
            Limits(concurrency=2), Policy(),
        )  # fmt: skip
        (row,) = read_table(tmp_path / "judge.csv", "judge_agreement").to_dict("records")
        assert (row["data"], row["n"], row["n_failed"]) == ("llmbar/natural", 3, 1)
        assert (row["n_ties"], row["n_decided"], row["agreement_decided"]) == (1, 2, 0.5)
        assert row["agreement"] == pytest.approx(1 / 3)
    assert len(endpoint.bodies) == 4, "each answer once, in both runs"


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"llm_judge holds no file mt_bench"):
        tabulate_parsing(tmp_path / "llm_judge", tmp_path / "x.csv")


@pytest.mark.skipif("RESET_RAW_DIR" not in os.environ, reason="RESET_RAW_DIR is not set")
def test_the_parser_reads_what_gpt_4_really_said(tmp_path: Path) -> None:
    tabulate_parsing(Path(os.environ["RESET_RAW_DIR"]) / "llm_judge", tmp_path / "parsing.csv")
    table = read_table(tmp_path / "parsing.csv", "judge_parsing")
    assert table["n"].sum() > 800
    assert table["n_other_rating"].sum() == table["n_only_stored"].sum() == 0
