"""Write the page that traces the cells of the tables back to the raw files."""

from pathlib import Path

from reset_tuning.jobs import run


def main(*, manifest: Path, page: Path, tables: list[str]) -> None:
    from reset_tuning.figures.chains import chains_page
    from reset_tuning.figures.pages import write_page

    write_page(chains_page(manifest.parent, tables), page)


if __name__ == "__main__":
    run(main, snakemake)
