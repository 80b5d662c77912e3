"""The prompt files that the miniature's tokenizer and instruction-tuned model depend on."""

from functools import cache
from pathlib import Path

from reset_tuning.files import read_yaml

_PROMPTS = Path(__file__).resolve().parents[3] / "resources" / "prompts"
ALPACA_FILE = _PROMPTS / "alpaca.yaml"
TASKS_FILE = _PROMPTS / "tasks.yaml"


@cache
def alpaca_templates() -> dict[str, str]:
    """Return the Alpaca templates `with_input` and `without_input`."""
    return read_yaml(ALPACA_FILE)


@cache
def task_texts() -> dict[str, str]:
    """Return the objective-aligned instruction of every context-dependent task by name."""
    tasks = read_yaml(TASKS_FILE)
    return {name: task["text"] for name, task in tasks.items()}


def alpaca_headers() -> list[str]:
    """Return the fixed first paragraph of each Alpaca template."""
    return [template.split("\n")[0] for template in alpaca_templates().values()]


def instruction_prompt(instruction: str) -> str:
    """Render an instruction without an input in the Alpaca template."""
    return alpaca_templates()["without_input"].format(instruction=instruction)
