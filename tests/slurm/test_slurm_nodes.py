"""One training on two nodes, each of which holds eight GPUs."""

import json

import pytest
from slurm_cluster import Clone, Cluster

from reset_tuning.tables import read_table

pytestmark = [pytest.mark.slurm, pytest.mark.slow]

FOLDER = "results/mini/checkpoints/mtl/seed-1"


def test_two_nodes_train_one_model(clone: Clone, cluster: Cluster) -> None:
    clone.snakemake(f"{FOLDER}/last/model.safetensors", RESET_TRAINING_NODES="2").succeeded()
    (job,) = cluster.jobs_of(clone.folder, "train")
    assert job["NumNodes"] == "2" and job["NodeList"] == "gpu[1-2]"
    assert job["TresPerNode"] == "gres:gpu:8"
    assert job["GRES"].count("gpu:a100:8") or job["JOB_GRES"] == "gpu:a100:16"
    log = clone.log_of("train/mtl/seed-1")
    assert "srun --nodes=2 --ntasks=2" in log.splitlines()[0]
    provenance = json.loads((clone.folder / FOLDER / "provenance.json").read_text())
    geometry = provenance["training"]["geometry"]
    assert geometry["ranks"] == 2
    history = read_table(clone.folder / FOLDER / "history.csv", "history")
    assert history["loss"].notna().any()
