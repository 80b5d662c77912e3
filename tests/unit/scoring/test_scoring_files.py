import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest

from reset_tuning.errors import InputError
from reset_tuning.scoring.outputs import read_outputs
from reset_tuning.scoring.scorers import score_outputs
from reset_tuning.tables import read_table, table_schema, write_table

Write = Callable[..., tuple[Path, list[Path]]]
LEXICAL = {"kind": "lexical"}
ROUGE = {"kind": "rouge", "stemmer": False}


def extractive(example_id: str, output: str, **fields: Any) -> dict[str, Any]:
    base = {"kind": "extractive_qa", "context": "The red owl flies.", "references": ["red owl"]}
    return {"example_id": example_id, "output": output} | base | fields


def summary(example_id: str, output: str, **fields: Any) -> dict[str, Any]:
    base = {"kind": "summarization", "context": "x", "references": ["the cat sat", "a dog ran"]}
    return {"example_id": example_id, "output": output} | base | fields


def scores(files: tuple[Path, list[Path]], metric: str, spec: dict[str, Any]) -> pd.DataFrame:
    target = files[0].with_name("scores.parquet")
    score_outputs(*files, target, metric, spec)
    frame = read_table(target, "score")
    return frame.pivot(index="sample_id", columns="metric", values=["value", "status"])


def test_lexical_scores_of_extractive_answers_only(write_outputs: Write) -> None:
    files = write_outputs(
        extractive("1", "The Red Owl"), extractive("2", "cow"), summary("3", "the cat sat")
    )
    frame = scores(files, "lexical", LEXICAL)
    assert len(frame) == 2
    assert frame["value"].loc[0].to_dict() == {
        "exact_match": 1, "span_coverage": 1, "span_coverage_tokens": 1, "unigram_coverage": 1,
        "bigram_coverage": 1,
    }  # fmt: skip
    assert frame["status"].loc[1, "bigram_coverage"] == "undefined"
    assert frame["value"].loc[1].dropna().to_dict() == dict.fromkeys(
        ("exact_match", "span_coverage", "span_coverage_tokens", "unigram_coverage"), 0
    )


def test_an_empty_output_scores_0_in_every_metric(write_outputs: Write) -> None:
    frame = scores(write_outputs(extractive("1", " \n")), "lexical", LEXICAL)
    assert set(frame["status"].loc[0]) == {"empty_output"} and set(frame["value"].loc[0]) == {0}
    frame = scores(write_outputs(summary("1", "")), "rouge-l", ROUGE)
    assert frame["status"].loc[0, "rouge_l"] == "empty_output"


@pytest.mark.parametrize("answer", ["The", "a", "...", " an the ", "“”"])
def test_an_answer_that_normalises_to_nothing_scores_0_also_where_the_reference_does(
    write_outputs: Write, answer: str
) -> None:
    """An empty text stands in every context and equals an empty reference: 1 for saying nothing."""
    files = write_outputs(extractive("1", answer) | {"references": ["The", "...", "A"]})
    frame = scores(files, "lexical", LEXICAL | {"unicode": True})
    assert set(frame["status"].loc[0]) == {"empty_output"} and set(frame["value"].loc[0]) == {0}


def test_the_unicode_switch_reaches_answers_contexts_and_references(write_outputs: Write) -> None:
    values = {"context": "It lasted from 1990 – 1995.", "references": ["1990—1995"]}
    files = write_outputs(extractive("1", "1990-1995") | values)
    assert set(scores(files, "lexical", LEXICAL)["value"].loc[0].dropna()) == {0}
    folded = scores(files, "lexical", LEXICAL | {"unicode": True})["value"].loc[0]
    assert set(folded.dropna()) == {1}


def test_rouge_takes_the_best_reference(write_outputs: Write) -> None:
    files = write_outputs(
        summary("1", "A dog ran!"),
        summary("2", "the cat slept"),
        summary("3", "the cat", references=[]),
        summary("4", "数字", references=["数字"]),
        extractive("5", "red owl"),
    )
    frame = scores(files, "rouge-l", ROUGE)
    assert frame["value"]["rouge_l"].tolist()[:2] == [1, pytest.approx(2 / 3)]
    assert frame["status"]["rouge_l"].tolist() == ["ok", "ok", "undefined", "ok"]
    assert frame["value"].loc[3, "rouge_l"] == 0  # the package knows a-z and 0-9 only


def test_the_stemmer_is_an_option(write_outputs: Write) -> None:
    files = write_outputs(summary("1", "cats", references=["cat"]))
    assert scores(files, "rouge-l", ROUGE)["value"].loc[0, "rouge_l"] == 0
    assert scores(files, "rouge-l", ROUGE | {"stemmer": True})["value"].loc[0, "rouge_l"] == 1


def test_lines_may_be_compared_one_by_one(write_outputs: Write) -> None:
    row = summary("1", "a dog ran\nthe cat sat", references=["the cat sat\na dog ran"])
    whole = scores(write_outputs(row), "rouge-l", ROUGE)["value"].loc[0, "rouge_l"]
    lines = scores(write_outputs(row), "rouge-l", ROUGE | {"type": "rougeLsum"})["value"]
    assert (whole, lines.loc[0, "rouge_l"]) == (0.5, 1.0)
    with pytest.raises(InputError, match="rougeL, rougeLsum"):
        scores(write_outputs(row), "rouge-l", ROUGE | {"type": "rouge1"})


def test_a_scorer_that_strays_from_the_package_is_stopped(
    write_outputs: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    from reset_tuning.scoring import rouge, rouge_fast

    monkeypatch.setattr(rouge, "_TESTED_VERSION", "another")
    monkeypatch.setattr(rouge_fast, "common_subsequence", lambda first, second: 1)
    with pytest.raises(RuntimeError, match="differs from the rouge-score package"):
        scores(write_outputs(summary("1", "the cat sat")), "rouge-l", ROUGE)


def test_settings_are_in_the_files_metadata(write_outputs: Write, tmp_path: Path) -> None:
    score_outputs(*write_outputs(summary("1", "x")), tmp_path / "s.parquet", "rouge-l", ROUGE)
    settings = json.loads(pq.read_schema(tmp_path / "s.parquet").metadata[b"scorer"])
    assert settings["kind"] == "rouge" and settings["stemmer"] is False
    assert settings["rouge_score"] == "0.1.2"


def test_a_table_without_rows_of_the_kind_is_empty(write_outputs: Write, tmp_path: Path) -> None:
    score_outputs(*write_outputs(summary("1", "x")), tmp_path / "s.parquet", "lexical", LEXICAL)
    assert len(read_table(tmp_path / "s.parquet", "score")) == 0


def test_a_mixture_stands_for_its_originals(write_outputs: Write, tmp_path: Path) -> None:
    outputs, (examples,) = write_outputs(extractive("1", "red owl"))
    rows = read_table(examples, "example").assign(
        set="nq", prompt="p", response="r", n_prompt_tokens=1, n_response_tokens=1,
        n_context_tokens_cut=0,
    )  # fmt: skip
    mixture = pd.concat([rows.assign(copy=0), rows.assign(copy=1)])
    write_table(mixture[table_schema("mixture").names], tmp_path / "train.parquet", "mixture")
    assert len(read_outputs(outputs, [tmp_path / "train.parquet"])) == 1


def test_an_output_without_its_example_is_refused(write_outputs: Write, tmp_path: Path) -> None:
    outputs, _ = write_outputs(extractive("1", "red owl"))
    outputs = outputs.rename(tmp_path / "kept.parquet")
    _, examples = write_outputs(extractive("2", "red owl"))
    with pytest.raises(InputError, match=r"1 outputs belong to no example"):
        read_outputs(outputs, examples)


def test_an_unknown_kind_of_metric_is_refused(write_outputs: Write, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"metrics\.m\.kind.*lexical, rouge, summac"):
        score_outputs(*write_outputs(summary("1", "x")), tmp_path / "s", "m", {"kind": "bleu"})


def test_lexical_jobs_load_neither_torch_nor_nltk() -> None:
    code = (
        "import sys, reset_tuning.scoring.scorers, reset_tuning.scoring.lexical\n"
        "sys.exit(any(name in sys.modules for name in ('torch', 'nltk', 'transformers')))"
    )
    scripts = Path(__file__).parents[3] / "scripts"
    assert subprocess.run([sys.executable, "-c", code], cwd=scripts).returncode == 0
