"""One full prompt of a dataset as a document, and the table of task instructions."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reset_tuning.data.prompts import PromptSettings, PromptTooLong, fitted_prompt
from reset_tuning.errors import InputError
from reset_tuning.seeds import draw_fraction
from reset_tuning.tables import read_table


def prompt_document(
    examples: Path, settings: PromptSettings, reserved_tokens: int, seed: int
) -> str:
    """Return a page with the prompt of one example of a split and its reference.

    The example is drawn by its id; one that does not fit with `reserved_tokens` kept free for the
    answer is passed over. Raises InputError when none fits.
    """
    rows = read_table(examples, "example").to_dict("records")
    rows.sort(key=lambda row: draw_fraction(seed, row["example_id"], "document"))
    limit = settings.max_length - reserved_tokens
    for row in rows:
        task = settings.tasks.get(row["dataset"])
        try:
            fitted = fitted_prompt(row, settings.template, task, settings.tokenizer, limit)
        except PromptTooLong:
            continue
        return _page(row, fitted.text, fitted.n_tokens, fitted.n_context_tokens_cut)
    raise InputError(f"{examples}: no prompt fits in {limit} tokens")


def _page(row: Mapping[str, Any], prompt: str, n_tokens: int, n_cut: int) -> str:
    reference = row["references"][0] if row["references"] else "(the set has none)"
    cut = f"; {n_cut} tokens of its context were cut" if n_cut else ""
    runs = re.findall("`+", f"{prompt}\n{reference}")
    fence = "`" * max([8, *(len(run) + 1 for run in runs)])  # no text may end it
    return "\n".join(
        [
            f"# One full prompt of {row['dataset']}",
            "",
            f"Kind {row['kind']}, example {row['example_id']} from {row['source_row']}, "
            f"{n_tokens} tokens{cut}.",
            "",
            fence + "text",
            prompt,
            fence,
            "",
            "Reference:",
            "",
            fence + "text",
            reference,
            fence,
            "",
        ]
    )


def task_table(tasks: Mapping[str, Mapping[str, str]], datasets: Mapping[str, list[str]]) -> str:
    """Return the task instructions as a Markdown table, their objective-aligned words in bold.

    tasks: {text, aligned, source} by name. datasets: those that use each of them. Raises InputError
    when a task's `aligned` words do not stand in its text.
    """
    lines = [
        "# Task instructions",
        "",
        "The words that name the objective, faithfulness to the given text, are in bold. "
        "Instruction sets use their own instructions.",
        "",
        "| task | datasets | instruction | wording |",
        "|---|---|---|---|",
    ]
    for name, users in datasets.items():
        task = tasks[name]
        if task["aligned"] not in task["text"]:
            raise InputError(f"resources/prompts/tasks.yaml: {name}.aligned is no part of its text")
        text = task["text"].replace(task["aligned"], f"**{task['aligned']}**")
        lines.append(f"| {name} | {', '.join(users)} | {text} | {task['source']} |")
    return "\n".join([*lines, ""])
