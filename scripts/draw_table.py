"""Write a CSV table as a page that the report can show."""

from pathlib import Path

from reset_tuning.figures.pages import table_page
from reset_tuning.files import atomic_path
from reset_tuning.jobs import run


def main(*, table: Path, page: Path, title: str, judge: str) -> None:
    """Write the page; `judge` is for the caption alone."""
    text = table_page(table, title)
    with atomic_path(page) as path:
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    run(main, snakemake)
