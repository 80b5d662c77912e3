"""Turn a dataset's raw files into the examples of one split, and count what was dropped."""

from pathlib import Path
from typing import Any

from reset_tuning.data.examples import DatasetSpec, prepare_split
from reset_tuning.jobs import run
from reset_tuning.tables import write_table


def main(
    *,
    manifest: Path,
    examples: Path,
    ledger: Path,
    dataset: str,
    split: str,
    spec: dict[str, Any],
    seed: int,
    training: list[Path] | Path = (),
) -> None:
    tables = [training] if isinstance(training, Path) else list(training)
    prepared = prepare_split(manifest, dataset, split, DatasetSpec.of(dataset, spec), tables, seed)
    write_table(prepared.examples, examples, "example", prepared.metadata)
    write_table(prepared.ledger.frame(), ledger, "ledger")


if __name__ == "__main__":
    run(main, snakemake)
