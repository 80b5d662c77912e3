"""Test the claims of the config on the scores of single examples."""

from pathlib import Path
from typing import Any

from reset_tuning.jobs import run
from reset_tuning.stats.averages import Headlines
from reset_tuning.stats.bootstrap import Bootstrap
from reset_tuning.stats.cells import refuse_holes
from reset_tuning.stats.claims import EXPECTED_HOLES, Evaluated, claims_table
from reset_tuning.stats.panels import read_panels
from reset_tuning.tables import read_table, write_table


def main(
    *,
    scores: list[Path],
    failures: Path,
    table: Path,
    claims: dict[str, dict[str, Any]],
    unknown: dict[str, str],
    points: list[dict[str, Any]],
    faithfulness: dict[str, str],
    task: dict[str, str],
    judge: str,
    held_out: list[str],
    bootstrap: dict[str, Any],
    power: float,
    strict: bool,
) -> None:
    evaluated = Evaluated(
        read_panels(scores, points),
        Headlines(judge, faithfulness, task),
        held_out,
        read_table(failures, "failure_labels"),
        unknown,
    )
    rows = claims_table(claims, evaluated, Bootstrap(**bootstrap), power)
    refuse_holes(rows, "claims", strict, {*EXPECTED_HOLES, *unknown.values()})
    write_table(rows, table, "claims")


if __name__ == "__main__":
    run(main, snakemake)
