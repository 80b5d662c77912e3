"""Fixtures and options of all tests."""

from pathlib import Path

import pytest

from helpers import ROOT, copy_tree


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--benchmarks", action="store_true", help="run the benchmarks of tests/bench")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave the benchmarks out of a plain run: they measure, they do not judge."""
    is_bench = "bench" in collection_path.relative_to(ROOT).parts
    return True if is_bench and not config.getoption("--benchmarks") else None


@pytest.fixture
def workflow_copy(tmp_path: Path) -> Path:
    """A scratch copy of the workflow without results."""
    return copy_tree(tmp_path / "workflow")
