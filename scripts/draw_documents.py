"""Write Markdown documents as one page: a full prompt of each dataset, the task instructions."""

from pathlib import Path

from reset_tuning.jobs import run


def main(*, documents: list[Path], page: Path, title: str) -> None:
    from reset_tuning.figures.documents import documents_page
    from reset_tuning.figures.pages import write_page

    write_page(documents_page(documents, title), page)


if __name__ == "__main__":
    run(main, snakemake)
