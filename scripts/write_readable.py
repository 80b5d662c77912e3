"""Write CSV tables as Markdown and LaTeX beside them."""

from pathlib import Path

from reset_tuning.figures.cells import read_rows
from reset_tuning.figures.readable import blocks_of, to_latex, to_markdown
from reset_tuning.files import atomic_path
from reset_tuning.jobs import run


def main(
    *,
    tables: list[Path],
    markdown: list[Path],
    latex: list[Path],
    titles: dict[str, str],
    unseen: list[str],
) -> None:
    for table, page, source in zip(tables, markdown, latex, strict=True):
        title = titles[table.stem]
        blocks = blocks_of(table.stem, read_rows(table), unseen)
        write(page, to_markdown(blocks, title))
        write(source, to_latex(blocks, title))


def write(path: Path, text: str) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    run(main, snakemake)
