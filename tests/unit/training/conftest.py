"""A tiny base model, training rows and run settings in a temporary folder, and one training."""

from pathlib import Path

import pytest
from runs import train
from training_world import write_world


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with base/, train.parquet, validation.parquet and run.json (12 steps of 8 rows)."""
    return write_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="session")
def trained(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the declared files of a training on one rank that nothing interrupted."""
    return train(world, tmp_path_factory.mktemp("trained") / "seed-1")
