"""Published numbers, deviations, the paper's index, and the parts of all numbers."""

from pathlib import Path

import pandas as pd
import pytest
import yaml

from helpers import ROOT
from reset_tuning.config import normalise
from reset_tuning.figures.readable import blocks_of, to_latex, to_markdown
from reset_tuning.stats.deviations import assumed_values, deviation_rows, used
from reset_tuning.stats.paper_index import index_rows
from reset_tuning.stats.published import published_vs_measured
from reset_tuning.tables import read_table, write_table

LABELS = [
    "paper_quandary_stage_1",
    "paper_abstract_stage_1",
    "paper_alignment_stage_1",
    "paper_ctx_to_alignment",
    "paper_seq_length_abstract_stage_2",
    "paper_abstract_length_split_stage_2",
    "paper_qa_summ_stage_2",
    "paper_abstract_stage_2",
    "paper_alignment_stage_2",
    "paper_alignment_to_ctx",
    "paper_alignment_length_split_stage_2",
    "data_stats",
    "instruction_template",
    "task_instruction",
    "gpt4_eval_prompt",
    "our_method_result",
    "first_pip_example",
    "second_pip_example",
    "inoculation_diagram",
    "our_method_diagram",
    "prompt_nq",
    "prompt_cnn_dailymail",
    "prompt_ms_marco",
    "prompt_bioasq",
    "prompt_searchqa",
    "prompt_wikisum",
    "prompt_alpaca",
]


@pytest.fixture(scope="module")
def config() -> dict:
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    normalise(config)
    return config


def test_every_label_of_the_paper_is_in_the_index(tmp_path) -> None:
    entries = yaml.safe_load((ROOT / "resources" / "paper_index.yaml").read_text())
    assert sorted(entries) == sorted(LABELS)
    files = [tmp_path / file for entry in entries.values() for file in entry["files"]]
    rows = pd.DataFrame(index_rows(entries, files, tmp_path))
    assert rows["made"].all()
    without = [path for path in files if "bioasq" not in path.name]
    lost = pd.DataFrame(index_rows(entries, without, tmp_path))
    assert lost.loc[~lost["made"], "label"].tolist() == ["prompt_bioasq"]
    write_table(lost, tmp_path / "paper_index.csv", "paper_index")


def test_deviations_show_what_the_resolved_configuration_says(config, tmp_path) -> None:
    text = (ROOT / "config.yaml").read_text()
    oddities = yaml.safe_load((ROOT / "resources" / "deviations.yaml").read_text())
    config = config | {"training": config["training"] | {"learning_rate": 0.5}}
    rows = pd.DataFrame(deviation_rows(oddities, text, config))
    write_table(rows, tmp_path / "deviations.csv", "deviations")
    by_topic = rows.set_index("topic")
    assert by_topic.loc["training.learning_rate", "used"] == "0.5"
    assert by_topic.loc["training.learning_rate", "problem"].startswith("lost")
    assert by_topic.loc["top-k at temperature 0", "used"] == "1.0; 1.0"
    assert by_topic.loc["normalised rating", "used"] == "minus_one_over_nine"
    assert (rows["kind"] == "oddity").sum() >= 16  # the table of oddities in PAPER.md
    assert (rows["kind"] == "assumed").sum() == text.count(
        "assumed"
    ) - 1  # one of them is in the header


def test_a_key_that_the_configuration_lacks_is_not_set(config) -> None:
    entry = {"topic": "x", "problem": "y", "ours": "z", "keys": ["runs.nobody", "seeds"]}
    (row,) = deviation_rows([entry], "a: 1\n", config)
    assert row["used"] == "not set; [1, 2, 3]"


def test_oddities_name_keys_of_the_configuration(config) -> None:
    oddities = yaml.safe_load((ROOT / "resources" / "deviations.yaml").read_text())
    keys = [key for entry in oddities for key in entry.get("keys", [])]
    assert [key for key in keys if used(config, key) is None] == []


def test_assumed_values_are_found_by_their_comments() -> None:
    text = "a: 1   # assumed: lost\nb:  # paper\n  c: {d: 2}  # paper: yes; assumed: no\n  e: 3\n"
    assert assumed_values(text) == [("a", "lost"), ("b.c", "no")]
    assert used({"b": {"c": {"d": 2}}}, "b.c") == '{"d": 2}'
    assert used({}, "b.c") is None


SYSTEMS = [
    {"label": "w/o MTL", "run": "vicuna-cd", "checkpoint": "best"},
    {"label": "w/ MTL", "run": "mtl", "checkpoint": "best"},
]


def averages(**means: tuple | None) -> pd.DataFrame:
    rows = []
    for run, numbers in means.items():
        mean, low, high = numbers or (None, None, None)
        rows.append(
            {"run": run.replace("_", "-"), "checkpoint": "best", "average": "instruction_following"}
            | {"n_seeds": 3, "mean": mean, "low": low, "high": high, "note": "lost"}
        )
    return pd.DataFrame(rows)


def test_published_numbers_stand_beside_ours(tmp_path) -> None:
    published = read_table(ROOT / "resources" / "published.csv", "published")
    assert list(published["published"]) == [0.49, 0.75]
    assert set(published["status"]) == {"inferred"}
    models = {"vicuna-cd": "hub/vicuna", "mtl": "hub/vicuna"}
    found = averages(vicuna_cd=(0.5, 0.45, 0.55), mtl=(0.6, 0.55, 0.65))
    table = published_vs_measured(published, found, SYSTEMS, models)
    write_table(table, tmp_path / "published_vs_measured.csv", "published_vs_measured")
    assert list(table["verdict"]) == ["agrees", "lower"]
    assert table["difference"].tolist() == pytest.approx([0.01, -0.15])
    holes = published_vs_measured(published, averages(mtl=None), SYSTEMS, models)
    write_table(holes, tmp_path / "holes.csv", "published_vs_measured")
    assert list(holes["verdict"]) == ["not measured"] * 2
    assert holes["note"].tolist() == ["no average 'instruction_following'", "lost"]


def test_tables_are_written_for_people(tmp_path: Path) -> None:
    row = {"label": "w/ MTL", "n_seeds": "3", "note": ""}
    for name in ("overall", "faithfulness_nq", "faithfulness_bioasq"):
        row |= {name: "0.5", f"{name}_sd": "0.01", f"{name}_low": "0.4", f"{name}_high": "0.6"}
        row |= {f"{name}_n": "9", f"{name}_failed": "1"}
    lost = row | dict.fromkeys([name for name in row if "_" in name or name == "overall"], "")
    lost |= {"label": "w/ ReSet", "n_seeds": "0", "note": "reset-direct is not evaluated at best"}
    blocks = blocks_of("main_table", [row, lost], ["bioasq"])
    page = to_markdown(blocks, "Main table")
    assert "| system | seeds | nq | *bioasq* |" in page
    assert "| w/ MTL | 3 | 0.500 ± 0.010 [0.400, 0.600] |" in page
    assert "| w/ ReSet | 0 | – |" in page
    assert "- w/ ReSet: reset-direct is not evaluated at best" in page
    assert "1 of 10" in page
    source = to_latex(blocks, "Main table")
    assert r"\textit{bioasq}" in source
    assert r"0.500 $\pm$ 0.010 [0.400, 0.600]" in source
    numbers = {"mean": "0.5", "sd": "", "low": "", "high": "", "note": ""}
    changes = dict.fromkeys(("change_vs_start", "change_sd", "change_low", "change_high"), "")
    stages = [
        {"label": "CD→IF", "metric": "task", "checkpoint": at} | numbers | changes
        for at in ("start", "best")  # the run is not evaluated at last
    ]
    (block,) = blocks_of("tradeoff", stages, [])
    assert block.rows == [["task", "0.500", "0.500", "–", "–"]]
    assert to_markdown(blocks_of("claims", [], []), "Claims").count("no rows") == 1
