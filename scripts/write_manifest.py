"""Write the manifest of a run: every kept file with its digest and its job."""

from pathlib import Path
from typing import Any

from reset_tuning.jobs import run


def main(
    *,
    files: list[Path],
    manifest: Path,
    experiment: str,
    sidecar: str,
    evaluation: dict[str, Any],
    later: list[str],
) -> None:
    from reset_tuning.provenance.manifest import build_manifest, write_manifest

    results = manifest.parent.as_posix()
    built = build_manifest(
        [path.as_posix() for path in files], experiment, results, Path(sidecar), evaluation, later
    )
    write_manifest(built, manifest)


if __name__ == "__main__":
    run(main, snakemake)
