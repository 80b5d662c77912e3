"""Write the template of all prompts and the judge's prompt as pages."""

from pathlib import Path

from reset_tuning.files import atomic_path
from reset_tuning.jobs import run


def main(
    *, template_page: Path, judge_page: Path, template: dict[str, str], judge_prompt: dict[str, str]
) -> None:
    titles = {"with_input": "With a context", "without_input": "Without"}
    parts = {titles[name]: text for name, text in template.items()}
    write(template_page, "The template of training and evaluation", parts)
    roles = {"System": judge_prompt["system"], "User": judge_prompt["user"]}
    write(judge_page, "The judge's prompt", roles)


def write(page: Path, title: str, parts: dict[str, str]) -> None:
    """Write texts word for word under their headings."""
    blocks = [f"## {name}\n\n~~~~text\n{text}\n~~~~" for name, text in parts.items()]
    with atomic_path(page) as temporary:
        temporary.write_text("\n\n".join([f"# {title}", *blocks]) + "\n", encoding="utf-8")


if __name__ == "__main__":
    run(main, snakemake)
