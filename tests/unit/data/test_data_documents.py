"""Full prompts as documents and the table of task instructions."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from raw_samples import example

from helpers import ROOT
from reset_tuning.data.documents import prompt_document, task_table
from reset_tuning.data.prompts import PromptSettings
from reset_tuning.errors import InputError
from reset_tuning.tables import write_table


def write(folder: Path, **values: Any) -> Path:
    rows = [
        example(f"{n:016x}", "extractive_qa", dataset="nq", question=f"Who {n}?") | values
        for n in range(3)
    ]
    write_table(pd.DataFrame(rows), folder / "test.parquet", "example")
    return folder / "test.parquet"


def test_a_whole_prompt_is_shown(tmp_path: Path, tokenizer: Any, template: dict) -> None:
    settings = PromptSettings(tokenizer, template, {"nq": "Extract."}, 400)
    page = prompt_document(write(tmp_path, context="It was Al.\n```"), settings, 10, 0)
    assert "### Instruction:\nExtract.\n\n### Input:\nIt was Al.\n```\n\nQuestion: Who " in page
    assert page.endswith("yes\n````````\n")
    assert page == prompt_document(write(tmp_path, context="It was Al.\n```"), settings, 10, 0)


def test_what_does_not_fit_is_passed_over(tmp_path: Path, tokenizer: Any, template: dict) -> None:
    settings = PromptSettings(tokenizer, template, {"nq": "Extract."}, 400)
    with pytest.raises(InputError, match="no prompt fits in 100 tokens"):
        prompt_document(write(tmp_path, context="c"), settings, 300, 0)


def test_no_example_ends_its_own_fence(tmp_path: Path, tokenizer: Any, template: dict) -> None:
    settings = PromptSettings(tokenizer, template, {"nq": "Extract."}, 600)
    page = prompt_document(write(tmp_path, context="a\n" + "`" * 9 + "\nb"), settings, 10, 0)
    assert page.count("\n" + "`" * 10) == 4 and page.endswith("\n" + "`" * 10 + "\n")


def test_aligned_words_that_are_no_part_of_the_task_are_told() -> None:
    tasks = {"qa": {"text": "Answer.", "aligned": "from the text", "source": "ours"}}
    with pytest.raises(InputError, match=r"tasks\.yaml: qa\.aligned is no part of its text"):
        task_table(tasks, {"qa": ["x"]})


def test_every_task_names_its_objective() -> None:
    tasks = yaml.safe_load((ROOT / "resources/prompts/tasks.yaml").read_text())
    table = task_table(tasks, {name: ["x"] for name in tasks})
    for name, task in tasks.items():
        words = ("paper", "paper (the bold phrase)", "ours")
        assert task["aligned"] in task["text"] and task["source"] in words
        # What stands in plain beside the paper's words is not the paper's.
        assert task["source"] != "paper" or task["text"] == task["aligned"]
        assert f"**{task['aligned']}**" in table and f"| {name} | x |" in table
        bold = task["text"].replace(task["aligned"], f"**{task['aligned']}**")
        assert f"| {name} | {bold} |" in (ROOT / "config/README.md").read_text()


@pytest.mark.parametrize("page", ["docs/data.md", "config/README.md"])
def test_the_pages_show_the_instructions_with_their_objective_in_bold(page: str) -> None:
    text = (ROOT / page).read_text()
    for name, task in yaml.safe_load((ROOT / "resources/prompts/tasks.yaml").read_text()).items():
        bold = task["text"].replace(task["aligned"], f"**{task['aligned']}**")
        assert f"| {name} | {bold} | {task['source']}" in text
