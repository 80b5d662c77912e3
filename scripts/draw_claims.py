"""Draw the effects and verdicts of the claims."""

from pathlib import Path

from reset_tuning.figures.claims import draw_claims
from reset_tuning.figures.style import save_figure
from reset_tuning.jobs import run
from reset_tuning.tables import read_table


def main(*, claims: Path, svg: Path, pdf: Path) -> None:
    save_figure(draw_claims(read_table(claims, "claims")), svg, pdf)


if __name__ == "__main__":
    run(main, snakemake)
