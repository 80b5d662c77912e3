"""Write a CSV table as a page that the report can show."""

from pathlib import Path

from reset_tuning.figures.pages import table_page, write_page
from reset_tuning.jobs import run


def main(*, table: Path, page: Path, title: str, note: str) -> None:
    write_page(table_page(table, title, note), page)


if __name__ == "__main__":
    run(main, snakemake)
