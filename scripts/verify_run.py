"""Compare a run with its manifest; exit code 1 if it differs: verify_run.py results/mini."""

import argparse
import sys
from pathlib import Path

from reset_tuning.errors import InputError
from reset_tuning.provenance.manifest import Differences, read_manifest, verify


def main(folder: Path, root: Path, only_results: bool) -> tuple[str, Differences]:
    manifest = read_manifest(folder)
    found = verify(manifest, folder, root, only_results)
    lines = [
        f"{what:8}{path}"
        for what, paths in (
            ("changed", found.changed),
            ("missing", found.missing),
            ("new", found.new),
        )
        for path in paths
    ]
    checked = "its results" if only_results else "all files"
    lines.append(
        f"{folder}: {checked} of the manifest of {manifest.made} compared, {len(found.changed)} "
        f"changed, {len(found.missing)} missing, {len(found.new)} new"
    )
    return "\n".join(lines) + "\n", found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Compare a run with its manifest.")
    parser.add_argument("folder", type=Path, help="results/<experiment>, or a copy of it")
    parser.add_argument("--root", type=Path, default=Path("."), help="the workflow's folder")
    parser.add_argument(
        "--only-results",
        action="store_true",
        help="leave out raw files and the repository's own, for who got the folder alone",
    )
    given = parser.parse_args()
    sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    try:
        text, differences = main(given.folder, given.root, given.only_results)
    except InputError as error:
        sys.exit(str(error))
    sys.stdout.write(text)
    sys.exit(1 if differences else 0)
