"""Write the raw files of one dataset of the miniature world."""

from pathlib import Path

from reset_tuning.jobs import run
from reset_tuning.mini.raw import write_raw


def main(*, manifest: Path, dataset: str, noise: str, seed: int, sizes: dict[str, int]) -> None:
    """Write the files beside the manifest, in the source's official raw format."""
    write_raw(manifest, dataset, noise, seed, dict(sizes))


if __name__ == "__main__":
    run(main, snakemake)
