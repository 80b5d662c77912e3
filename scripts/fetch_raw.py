"""Fetch a dataset's raw files and write their manifest."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from reset_tuning.data.fetch import fetch
from reset_tuning.jobs import run


def main(*, manifest: Path, dataset: str, source: dict[str, Any], files: Sequence[Path] = ()):
    # `files` are a local source's files as the workflow found them: inputs that trigger a rerun.
    fetch(manifest, dataset, source)


if __name__ == "__main__":
    run(main, snakemake)
