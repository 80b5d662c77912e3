"""Turn a dataset's raw files into the examples of one split, and count what was dropped."""

from pathlib import Path
from typing import Any

import pandas as pd

from reset_tuning.data.examples import DatasetSpec, prepare_split
from reset_tuning.data.store import write_examples
from reset_tuning.jobs import listed, run
from reset_tuning.tables import table_schema, write_table


def main(
    *,
    manifest: Path,
    examples: Path,
    ledger: Path,
    overlaps: Path,
    dataset: str,
    split: str,
    spec: dict[str, Any],
    seed: int,
    training: list[Path] | Path = (),
) -> None:
    chosen = DatasetSpec.of(dataset, spec)
    prepared = prepare_split(manifest, dataset, split, chosen, listed(training), seed)
    write_examples(prepared.rows, examples, prepared.metadata)
    write_table(prepared.ledger.frame(), ledger, "ledger")
    found = pd.DataFrame(prepared.overlaps, columns=table_schema("overlap").names)
    write_table(found, overlaps, "overlap")


if __name__ == "__main__":
    run(main, snakemake)
