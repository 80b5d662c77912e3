"""A configuration of the paper, an empty results folder, and what the plan knows."""

import copy
from pathlib import Path

import pytest
import yaml

from helpers import ROOT
from reset_tuning.config import normalise
from reset_tuning.experiment import Experiment
from reset_tuning.planning.expectations import Expectations
from reset_tuning.planning.models import ModelSizes
from reset_tuning.planning.work import Workload

KNOWLEDGE = ROOT / "resources" / "planning"
PAPER = yaml.safe_load((ROOT / "config.yaml").read_text())
normalise(PAPER)


@pytest.fixture
def config() -> dict:
    return copy.deepcopy(PAPER)


@pytest.fixture
def sources() -> dict:
    return yaml.safe_load((KNOWLEDGE / "sources.yaml").read_text())


@pytest.fixture
def expectations(config: dict, sources: dict, tmp_path: Path) -> Expectations:
    return Expectations(Experiment(config), tmp_path, sources)


@pytest.fixture
def workload(config: dict, sources: dict, expectations: Expectations) -> Workload:
    sizes = ModelSizes(config["models"], sources["models"])
    return Workload(expectations, sizes)
