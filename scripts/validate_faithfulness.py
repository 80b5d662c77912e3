"""Compare the faithfulness metrics with public human labels."""

from pathlib import Path
from typing import Any

from reset_tuning.jobs import run


def main(
    *,
    table: Path,
    folder: str,
    metrics: dict[str, dict[str, Any]],
    max_rows: int | None,
    sidecar: str,
    batch_size: int = 64,
    batch_tokens: int = 2048,
    threads: int = 1,
) -> None:
    from reset_tuning.scoring.means import Means
    from reset_tuning.scoring.validation import tabulate_validation

    means = Means(int(batch_size), int(batch_tokens), threads, Path(sidecar))
    tabulate_validation(Path(folder), table, metrics, means, max_rows)


if __name__ == "__main__":
    run(main, snakemake)
