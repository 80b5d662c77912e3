"""The real raw files below $RESET_RAW_DIR, as config/local_raw.yaml reads and filters them."""

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from reset_tuning.config import merged, normalise
from reset_tuning.data.examples import DatasetSpec, prepare_split
from reset_tuning.data.fetch import fetch
from reset_tuning.data.store import write_examples
from reset_tuning.experiment import Experiment
from reset_tuning.stats.ledger import check_ledger

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def experiment() -> Experiment:
    paper, overlay = (
        yaml.safe_load((ROOT / name).read_text())
        for name in ("config.yaml", "config/local_raw.yaml")
    )
    config: dict[str, Any] = merged(paper, overlay)
    normalise(config)
    return Experiment(config)


@pytest.mark.skipif("RESET_RAW_DIR" not in os.environ, reason="RESET_RAW_DIR is not set")
def test_every_dataset_is_read_and_accounted_for(experiment: Experiment, tmp_path: Path) -> None:
    for dataset, entry in experiment.datasets.items():
        manifest = tmp_path / "raw" / dataset / "manifest.json"
        fetch(manifest, dataset, experiment.source(dataset))
        for split in entry["splits"]:
            spec = DatasetSpec.of(dataset, experiment.split_spec(dataset, split))
            done = prepare_split(manifest, dataset, split, spec, [], seed=0)
            n_rows = write_examples(
                done.rows, tmp_path / f"{dataset}.{split}.parquet", done.metadata
            )
            check_ledger(done.ledger.frame(), dataset)
            assert done.ledger.n_out == n_rows > 0
