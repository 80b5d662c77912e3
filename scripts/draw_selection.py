"""Draw how far the best samples lead and which decoding settings win."""

from pathlib import Path

from reset_tuning.figures.selection import draw_margins, draw_settings
from reset_tuning.figures.style import save_figure
from reset_tuning.jobs import run
from reset_tuning.tables import read_table


def main(
    *,
    margins: Path,
    settings: Path,
    margins_svg: Path,
    margins_pdf: Path,
    settings_svg: Path,
    settings_pdf: Path,
) -> None:
    lead = draw_margins(read_table(margins, "selection_margins"))
    save_figure(lead, margins_svg, margins_pdf)
    wins = draw_settings(read_table(settings, "selection_settings"))
    save_figure(wins, settings_svg, settings_pdf)


if __name__ == "__main__":
    run(main, snakemake)
