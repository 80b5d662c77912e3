"""One shrunken miniature run, shared by every end-to-end test."""

import json
import os
from pathlib import Path

import pytest

from helpers import ROOT, copy_tree, run_snakemake

# Started in every Python process of the run, it records which packages were imported.
RECORDER = """
import atexit, json, os, sys
def _record():
    names = sorted({name.split(".")[0] for name in list(sys.modules)})
    with open(os.path.join(os.environ["IMPORT_RECORDS"], f"{os.getpid()}.json"), "w") as stream:
        json.dump([sys.argv[:1], names], stream)
def _record_and_exit(status, leave=os._exit):
    _record()
    leave(status)
if os.environ.get("IMPORT_RECORDS"):
    atexit.register(_record)
    os._exit = _record_and_exit
"""


class Miniature:
    """A finished miniature run in a folder of its own."""

    def __init__(self, folder: Path, records: Path) -> None:
        self.folder = folder
        self.records = records
        self.results = folder / "results" / "mini"

    def snakemake(self, *arguments: str, configs: tuple[str, ...] = (), **environment: str):
        """Run snakemake with the miniature's profile, the tests' overlay and more of them."""
        overlays = ("config/mini.yaml", str(ROOT / "tests" / "e2e" / "tiny.yaml"), *configs)
        profile = ("--profile", "profiles/mini", "--configfile", *overlays)
        return run_snakemake(self.folder, *arguments, *profile, **environment)

    def imported_packages(self) -> set[str]:
        """Return the top-level packages that any process of the run imported."""
        found: set[str] = set()
        for path in self.records.glob("*.json"):
            found |= set(json.loads(path.read_text())[1])
        return found


@pytest.fixture(scope="session")
def miniature(tmp_path_factory: pytest.TempPathFactory) -> Miniature:
    """Run the whole shrunken paper once (all systems, one seed)."""
    base = tmp_path_factory.mktemp("miniature")
    records = base / "imports"
    records.mkdir()
    site = base / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(RECORDER)
    run = Miniature(copy_tree(base / "workflow"), records)
    search = os.pathsep.join(filter(None, (str(site), os.environ.get("PYTHONPATH"))))
    result = run.snakemake("all", PYTHONPATH=search, IMPORT_RECORDS=str(records))
    assert result.returncode == 0, result.stdout[-8000:]
    return run
