"""One training on two nodes, each of which holds eight GPUs."""

import json

import pytest
from slurm_cluster import Clone, Cluster, ranks, wait_until

from reset_tuning.tables import read_table

pytestmark = [pytest.mark.slurm, pytest.mark.slow]

FOLDER = "results/mini/checkpoints/mtl/seed-1"
WEIGHTS = f"{FOLDER}/last/model.safetensors"


def test_two_nodes_train_one_model(clone: Clone, cluster: Cluster) -> None:
    run = clone.start(WEIGHTS, RESET_TRAINING_NODES="2")
    wait_until(lambda: len(ranks(clone)) == 2 or run.status is not None, "two ranks")
    seen = [rank.environ() for rank in ranks(clone)]
    run.wait()
    run.succeeded()
    assert sorted(variables["SLURMD_NODENAME"] for variables in seen) == ["gpu1", "gpu2"]
    assert {variables["CUDA_VISIBLE_DEVICES"] for variables in seen} == {"0,1,2,3,4,5,6,7"}
    assert {variables["WORLD_SIZE"] for variables in seen} == {"2"}
    (job,) = cluster.jobs_of(clone.folder, "train")
    assert job["NumNodes"] == "2" and job["NodeList"] == "gpu[1-2]"
    assert job["TresPerNode"] == "gres:gpu:8" and job["JOB_GRES"] == "gpu:a100:16"
    assert "srun --nodes=2 --ntasks=2" in clone.log_of("train/mtl/seed-1")
    provenance = json.loads((clone.folder / FOLDER / "provenance.json").read_text())
    assert provenance["training"]["geometry"]["ranks"] == 2
    losses = read_table(clone.folder / FOLDER / "history.csv", "history")["eval_loss"].dropna()
    assert losses.iloc[-1] < losses.iloc[0]
