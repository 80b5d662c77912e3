"""A small run of real jobs, made once, and copies of it that a test may spoil."""

import shutil
from pathlib import Path

import pytest

from helpers import ROOT, run_snakemake

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run, made by Snakemake: results/toy, .snakemake, resources."""
    folder = tmp_path_factory.mktemp("provenance")
    rules = (HERE / "toy.smk").read_text().replace("SCRIPTS", str(ROOT / "scripts"))
    (folder / "Snakefile").write_text(rules)
    shutil.copy(HERE / "make.py", folder)
    (folder / "resources").mkdir()
    (folder / "resources" / "base.safetensors").write_text("weights that are not trained here")
    done = run_snakemake(folder, "--cores", "2", "--quiet", PYTHONPATH=str(ROOT / "scripts"))
    assert done.returncode == 0, done.stdout[-4000:]
    return folder


@pytest.fixture
def toy(finished_run: Path, tmp_path: Path) -> Path:
    """A copy of the finished run."""
    return Path(shutil.copytree(finished_run, tmp_path / "run"))
