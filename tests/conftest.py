"""Fixtures and options of all tests."""

from pathlib import Path

import pytest
from hypothesis import settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from helpers import ROOT, copy_tree

# A loaded machine is no failure, and what fails here fails everywhere. Other examples each time are
# looked for by `make explore`; those that fail become an @example of their test.
settings.register_profile("fixed", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None, derandomize=False)
settings.load_profile("fixed")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--benchmarks", action="store_true", help="run the benchmarks of tests/bench")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave the benchmarks out of a plain run: they measure, they do not judge."""
    is_bench = "bench" in collection_path.relative_to(ROOT).parts
    return True if is_bench and not config.getoption("--benchmarks") else None


class _ByWhatTheyShare(LoadScopeScheduling):
    """Tests of two processes by file, but all that share a costly fixture in one of them.

    The end-to-end tests have one run of the miniature, those of SLURM one cluster. (Marks of
    pytest-xdist's own for this, `loadgroup`, have no effect in its 3.8 under pytest 9.2.)
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.split("::")[0]
        folder = file.split("/")[1]
        return folder if folder in ("e2e", "slurm") else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """Divide the tests as above; asked by pytest-xdist where there are several processes."""
    return _ByWhatTheyShare(config, log)


@pytest.fixture
def workflow_copy(tmp_path: Path) -> Path:
    """A scratch copy of the workflow without results."""
    return copy_tree(tmp_path / "workflow")
