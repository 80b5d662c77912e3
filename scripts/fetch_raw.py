"""Fetch a dataset's raw files and write their manifest."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reset_tuning.data.fetch import fetch
from reset_tuning.jobs import run


def main(
    *,
    manifest: Path,
    dataset: str,
    source: dict[str, Any],
    licence: str,
    access: str,
    found: Mapping[str, str],
) -> None:
    # `found` is what lay there of a local source: other files, or other content, are fetched again.
    fetch(manifest, dataset, source, licence=licence or None, access=access or None)


if __name__ == "__main__":
    run(main, snakemake)
