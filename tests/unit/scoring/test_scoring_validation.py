"""Faithfulness metrics beside human labels, on files in the public formats."""

import csv
import doctest
import gzip
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reset_tuning.errors import InputError
from reset_tuning.scoring import validation
from reset_tuning.scoring.means import Means
from reset_tuning.scoring.table import scored
from reset_tuning.scoring.validation import best_threshold, read_labelled, tabulate_validation
from reset_tuning.tables import read_table


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "faithfulness_human"

    def put(name: str, text: str) -> None:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())

    for cut, count in (("val", 6), ("test", 8)):
        lines = [
            {"document": f"d{i} {cut}", "claim": "yes" if i % 2 else "no", "label": i % 2}
            for i in range(count)
        ]
        put(f"summac_benchmark/frank_{cut}.jsonl.gz", "\n".join(map(json.dumps, lines)))
    aggrefact = [{"document": "d", "claim": "yes", "label": 1, "cut": "val"}]
    put("aggrefact/aggre_fact_cnndm_sota.json", json.dumps(aggrefact))
    answers = [
        [{"response": word} for word in words] for words in (("yes", "yes", "no"), ("no",) * 3)
    ]
    sentences = [{"sentence": f"s{i}", "responses": found} for i, found in enumerate(answers)]
    put("qags/mturk_xsum.jsonl", json.dumps({"article": "d", "summary_sentences": sentences}))
    edits = [
        {"doc": f"d{i}", "summary": "yes" if i % 2 else "no", "label": i % 2} for i in range(40)
    ]
    put("summedits/summedits_news.json", json.dumps(edits))
    put(
        "summeval/x.jsonl", json.dumps({"src": "d", "summary": "s", "scores": {"consistency": 4.7}})
    )
    with (root / "aggrefact" / "CLIFF_error_types.csv").open("w") as stream:
        writer = csv.writer(stream)
        writer.writerow(["dataset", "origin", "id", "doc", "summ", "cut", "error_type"])
        writer.writerow(["CLIFF", "xsum", "1", "d", "s", "val", "['correct']"])
        writer.writerow(["CLIFF", "xsum", "2", "d", "t", "val", "['extrinsic-NP']"])
    return root


class Words:
    """A metric that knows the answer in all sets but one."""

    @staticmethod
    def score(rows: Any, spec: dict[str, Any], means: Means) -> Any:
        known = rows["output"].map({"yes": 0.9, "no": 0.2}).fillna(0.5)
        return {"words": [scored(value) for value in known]}, {"model": "words"}


def test_every_public_format_is_read(folder: Path) -> None:
    rows = read_labelled(folder)
    counts = rows.groupby("dataset")["label"].agg(["size", "sum"]).to_dict("index")
    assert counts == {
        "frank": {"size": 14, "sum": 7}, "aggre_fact_cnndm_sota": {"size": 1, "sum": 1},
        "qags_xsum": {"size": 1, "sum": 0}, "summedits_news": {"size": 40, "sum": 20},
        "summeval": {"size": 1, "sum": 0}, "CLIFF xsum": {"size": 2, "sum": 1},
    }  # fmt: skip
    assert rows.loc[rows["dataset"] == "qags_xsum", "output"].tolist() == ["s0 s1"]


@pytest.mark.parametrize(
    ("said", "is_consistent"),
    [("yes yes no", True), ("yes no no", False), ("yes no", False), ("yes yes", True)],
)
def test_most_annotators_of_qags_must_say_yes(
    tmp_path: Path, said: str, is_consistent: bool
) -> None:
    """Half of them, a tie, are not most."""
    responses = [{"response": word} for word in said.split()]
    sentences = [{"sentence": "s", "responses": responses}]
    (tmp_path / "qags").mkdir()
    record = {"article": "d", "summary_sentences": sentences}
    (tmp_path / "qags" / "mturk_xsum.jsonl").write_text(json.dumps(record))
    assert read_labelled(tmp_path)["label"].tolist() == [is_consistent]


def test_the_threshold_comes_from_other_rows(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(validation, "import_module", lambda name: Words)
    target = tmp_path / "v.csv"
    tabulate_validation(folder, target, {"words": {"kind": "summac"}}, Means())
    table = read_table(target, "faithfulness_validation").set_index("dataset")
    assert table.loc["frank", ["n", "balanced_accuracy", "area_under_curve"]].tolist() == [14, 1, 1]
    assert table["threshold_from"].to_dict()["frank"] == "validation part"
    assert table.loc["summedits_news", "balanced_accuracy"] == 1
    assert table.loc["summeval", "balanced_accuracy"] != table.loc["summeval", "balanced_accuracy"]
    tabulate_validation(folder, target, {"words": {"kind": "summac"}}, Means(), max_rows=3)
    table = read_table(target, "faithfulness_validation").set_index("dataset")
    assert table["n"].to_dict()["frank"] == 6 and table["n"].to_dict()["summedits_news"] == 3


def test_the_best_threshold_splits_the_classes() -> None:
    labels, values = np.array([False, False, True, True]), np.array([0.1, 0.4, 0.35, 0.8])
    assert best_threshold(labels, values) in (0.35, 0.8)
    assert best_threshold(np.array([True]), np.array([0.3])) == 0.0


def test_a_folder_without_labels_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no human labels"):
        read_labelled(tmp_path)


def test_examples_in_docstrings() -> None:
    assert doctest.testmod(validation).failed == 0


@pytest.mark.skipif("RESET_RAW_DIR" not in os.environ, reason="RESET_RAW_DIR is not set")
def test_the_real_labels_are_read() -> None:
    rows = read_labelled(Path(os.environ["RESET_RAW_DIR"]) / "faithfulness_human")
    shares = rows.groupby("dataset")["label"].mean()
    assert len(rows) > 10_000 and len(shares) >= 15
    assert shares.between(0.01, 0.99).all()
