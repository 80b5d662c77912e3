"""The example browser: what its data hold, and what it does in a browser."""

from pathlib import Path

import pandas as pd
import pytest
from pages import packed_data

from browser import Page, chromium
from reset_tuning.figures import pages
from reset_tuning.figures.examples import browser_page
from reset_tuning.scoring.table import REFUSED, scored, write_scores
from reset_tuning.stats.averages import Headlines
from reset_tuning.tables import read_table, write_table

SYSTEMS = [
    {"label": "Vicuna", "main": True, "run": "vicuna-7b", "seed": 0, "checkpoint": "start"},
    {"label": "w/ MTL", "main": True, "run": "mtl", "seed": 1, "checkpoint": "best"},
    {"label": "CD→IF, last", "main": False, "run": "llama-cd-if", "seed": 1, "checkpoint": "last"},
]
HEADLINES = Headlines("gpt-4", {"extractive_qa": "span_coverage"}, {"extractive_qa": "exact_match"})
TEMPLATE = {"with_input": "DO {instruction} WITH {input} NOW", "without_input": "DO {instruction}"}
TASKS = {"nq": "Extract a span."}
POINT = ["run", "seed", "checkpoint"]


def examples(folder: Path, n: int) -> list[Path]:
    """Write n questions and n instructions."""
    paths = []
    for dataset, kind in (("nq", "extractive_qa"), ("koala_eval", "instruction")):
        is_question = kind == "extractive_qa"
        rows = [
            {
                "example_id": f"{dataset}-{number}",
                "dataset": dataset,
                "kind": kind,
                "instruction": None if is_question else f"Say {number}. </script>",
                "context": f"Fact {number} & more." if is_question else None,
                "question": f"Which fact {number}?" if is_question else None,
                "references": [f"fact {number}"] if is_question else [],
                "source_row": f"raw:{number}",
            }
            for number in range(n)
        ]
        paths.append(folder / f"{dataset}.parquet")
        write_table(pd.DataFrame(rows), paths[-1], "example")
    return paths


def answers(folder: Path, n: int) -> list[Path]:
    """Write what each system says: the same for even numbers, its own name for odd ones."""
    paths = []
    for system in SYSTEMS:
        rows = [
            {name: system[name] for name in POINT}
            | {"decoding": "greedy", "example_id": f"{dataset}-{number}", "sample_id": 0}
            | {"dataset": dataset, "arm": "greedy", "round": 0, "temperature": 0.0, "top_k": 0}
            | {"sampling_seed": 0, "multiplicity": 1, "n_tokens": 2, "finish_reason": "stop"}
            | {"output": f"same {number}" if number % 2 == 0 else f"{system['label']} {number}"}
            for dataset in ("nq", "koala_eval")
            for number in range(n)
        ]
        paths.append(folder / f"{system['run']}.parquet")
        write_table(pd.DataFrame(rows), paths[-1], "generation")
    return paths


def scores(folder: Path, generations: list[Path]) -> list[Path]:
    """Write the metrics of the tables and others that the page must not show."""
    paths = []
    for path in generations:
        rows = pd.read_parquet(path)
        asked = rows[rows["dataset"] == "nq"].reset_index(drop=True)
        told = rows[rows["dataset"] == "koala_eval"].reset_index(drop=True)
        lexical = {
            "span_coverage": [scored(1.0)] * len(asked),
            "exact_match": [scored(0.25)] * len(asked),
        }
        lexical["unigram_coverage"] = [scored(0.5)] * len(asked)
        rated = [REFUSED] + [scored(0.75)] * (len(told) - 1)
        for scorer, frame, values in (
            ("lexical", asked, lexical),
            ("gpt-4", told, {"instruction_following": rated}),
            ("other-judge", told, {"instruction_following": [scored(0.1)] * len(told)}),
        ):
            paths.append(folder / f"{path.stem}-{scorer}.parquet")
            write_scores(paths[-1], frame, values, scorer, {})
    return paths


def judgments(folder: Path, generations: list[Path]) -> list[Path]:
    paths = []
    for path in generations:
        rows = pd.read_parquet(path).query("dataset == 'koala_eval'")
        rows = rows[[*POINT, "decoding", "example_id", "sample_id"]].assign(
            judge="gpt-4", request="r", model="m", fingerprint=None, reply="Fine. Rating: [[8]]",
            finish_reason="stop", error=None, prompt_tokens=1, completion_tokens=1,
        )  # fmt: skip
        paths.append(folder / f"{path.stem}.raw.parquet")
        write_table(rows, paths[-1], "judgment")
    return paths


def build(folder: Path, n: int = 4, per_set: int = 50) -> str:
    tests, said = examples(folder, n), answers(folder, n)
    return browser_page(
        tests, said, scores(folder, said), judgments(folder, said),
        SYSTEMS, HEADLINES, ["nq"], per_set, TEMPLATE, TASKS,
    )  # fmt: skip


def test_the_data_hold_prompts_references_answers_and_the_tables_scores(tmp_path: Path) -> None:
    data = packed_data(build(tmp_path))
    assert [system["label"] for system in data["systems"]] == ["Vicuna", "w/ MTL", "CD→IF, last"]
    assert data["datasets"]["nq"] == {"kind": "extractive qa", "role": "seen"}
    shown = {example["id"]: example for example in data["examples"]}
    assert len(shown) == 8
    asked = shown["nq-1"]
    assert (
        asked["prompt"] == "DO Extract a span. WITH Fact 1 & more.\n\nQuestion: Which fact 1? NOW"
    )
    assert (asked["question"], asked["references"]) == ("Which fact 1?", ["fact 1"])
    assert [asked["texts"][one["text"]] for one in asked["answers"]] == [
        "Vicuna 1", "w/ MTL 1", "CD→IF, last 1",
    ]  # fmt: skip
    assert asked["answers"][0]["scores"] == {
        "faithfulness (span coverage)": 1.0,
        "task (exact match)": 0.25,
    }
    assert len(shown["nq-2"]["texts"]) == 1  # equal answers stand there once


def test_ratings_come_with_the_judges_words_and_failures_with_their_reason(tmp_path: Path) -> None:
    data = packed_data(build(tmp_path))
    answered = [e["answers"][0] for e in data["examples"] if e["dataset"] == "koala_eval"]
    given = sorted(str(one["scores"]["instruction following"]) for one in answered)
    assert given == ["0.75", "0.75", "0.75", "refused"]
    assert {one["judge"] for one in answered} == {"Fine. Rating: [[8]]"}


def test_cut_and_missing_answers_are_told_from_empty_ones(tmp_path: Path) -> None:
    tests, said = examples(tmp_path, 4), answers(tmp_path, 4)
    rows = read_table(said[0], "generation")
    rows.loc[rows["example_id"] == "nq-1", "finish_reason"] = "length"
    rows.loc[rows["example_id"] == "nq-3", "output"] = ""
    write_table(rows[rows["example_id"] != "nq-2"], said[0], "generation")
    page = browser_page(tests, said, [], [], SYSTEMS, HEADLINES, ["nq"], 50, TEMPLATE, TASKS)
    shown = {one["id"]: one for one in packed_data(page)["examples"]}
    first = {name: one["answers"][0] for name, one in shown.items()}
    assert [first[f"nq-{n}"].get("ended") for n in range(4)] == [None, "length", "missing", None]
    for name in ("nq-2", "nq-3"):
        assert shown[name]["texts"][first[name]["text"]] == ""


def test_at_most_the_asked_number_of_each_set_always_the_same(tmp_path: Path) -> None:
    first, second = (build(tmp_path, n=9, per_set=3) for _ in range(2))
    assert first == second
    assert len(packed_data(first)["examples"]) == 6
    more = {example["id"] for example in packed_data(build(tmp_path, n=9, per_set=5))["examples"]}
    assert {example["id"] for example in packed_data(first)["examples"]} < more


def test_fewer_examples_where_the_report_could_not_show_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = build(tmp_path, n=40)
    monkeypatch.setattr(pages, "_LONGEST_ADDRESS", len(whole.encode()) * 4 // 3)
    page = build(tmp_path, n=40)
    assert pages.fits_report(page)
    left = len(packed_data(page)["examples"])
    assert 0 < left < 80
    assert f"At most {left // 2} examples of each test set" in page


# ---------------------------------------------------------------- in a browser


@pytest.fixture
def shown(tmp_path: Path):
    """The page of ten examples of two sets, opened."""
    path = tmp_path / "browser.html"
    pages.write_page(build(tmp_path, n=10), path)
    with chromium(tmp_path / "profile") as tab:
        tab.open(path.as_uri()).wait_for("document.querySelector('article')")
        yield tab


def count(tab: Page) -> str:
    return tab.run("document.getElementById('count').textContent")


def choose(tab: Page, element: str, value: str) -> None:
    tab.run(
        f"(() => {{ const one = document.getElementById('{element}'); one.value = '{value}';"
        " one.dispatchEvent(new Event('input')); })()"
    )


@pytest.mark.browser
def test_the_browser_filters_searches_and_shows_more(shown: Page) -> None:
    assert count(shown) == "20 of 20 examples, 2 of 3 systems"
    assert shown.run("document.querySelectorAll('article').length") == 10
    shown.run("document.getElementById('more').click()")
    assert shown.run("document.querySelectorAll('article').length") == 20
    choose(shown, "dataset", "koala_eval")
    assert count(shown).startswith("10 of 20")
    assert "Say " in shown.run("document.querySelector('article').textContent")
    choose(shown, "search", "w/ mtl 3")
    assert count(shown).startswith("1 of 20")
    choose(shown, "search", "cd→if")  # of a system that is not ticked
    assert count(shown).startswith("0 of 20")
    shown.run("document.getElementById('all').click()")
    assert count(shown) == "5 of 20 examples, 3 of 3 systems"
    assert shown.run("document.querySelectorAll('article:first-of-type .answer').length") == 3
    choose(shown, "search", "")
    choose(shown, "dataset", "")
    shown.run("document.getElementById('differ').click()")
    assert count(shown).startswith("10 of 20")
    assert shown.errors == []


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 400])
def test_the_browser_is_readable_on_a_desk_and_on_a_phone(shown: Page, width: int) -> None:
    shown.resize(width)
    shown.run("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert shown.overflow() <= 0
    assert shown.run("parseFloat(getComputedStyle(document.body).fontSize)") >= 14


@pytest.mark.browser
def test_texts_of_models_stay_texts_and_nothing_is_loaded(shown: Page) -> None:
    choose(shown, "search", "</script>")
    assert count(shown).startswith("10 of 20")
    assert all(request.startswith("file:") for request in shown.requests)
