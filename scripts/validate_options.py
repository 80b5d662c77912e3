"""Show what each of SummaC's options does to its scores, on public human labels."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from reset_tuning.jobs import run


def main(
    *,
    table: Path,
    folder: str,
    spec: dict[str, Any],
    models: Sequence[str],
    max_rows: int | None,
    sidecar: str,
    batch_size: int = 64,
    batch_tokens: int = 2048,
    threads: int = 1,
) -> None:
    from reset_tuning.scoring.means import Means
    from reset_tuning.scoring.options import tabulate_options

    means = Means(int(batch_size), int(batch_tokens), threads, Path(sidecar))
    tabulate_options(Path(folder), table, spec, models, means, max_rows)


if __name__ == "__main__":
    run(main, snakemake)
