"""The small miniature end to end on the cluster, then parts of it again."""

import json
import re
from pathlib import Path

import pandas as pd
import pytest
from slurm_cluster import Clone, Cluster

from helpers import planned_jobs

pytestmark = [pytest.mark.slurm, pytest.mark.slow]

LOCAL_RULES = {"resolve_run", "query_judge", "parse_judgments", "collect_scores", "tabulate_main"}


@pytest.fixture(scope="module")
def finished(whole_cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A fresh clone after `snakemake --profile slurm` with nothing but the overlays."""
    clone = Clone.fresh(tmp_path_factory.mktemp("miniature") / "workflow", whole_cluster)
    clone.snakemake().succeeded()
    return clone


def test_every_file_is_made_and_nothing_is_left_to_do(finished: Clone) -> None:
    main = pd.read_csv(finished.results / "metrics" / "main_table.csv")
    assert list(main["label"]) == ["Vicuna-7B zero-shot", "w/ MTL", "w/ MTL + ReSet"]
    again = finished.snakemake("-n").succeeded()
    assert "Nothing to be done" in again.output


def test_a_training_got_eight_gpus_of_one_node_its_memory_and_its_time(
    finished: Clone, cluster: Cluster
) -> None:
    trainings = cluster.jobs_of(finished.folder, "train")
    assert {job["Comment"] for job in trainings} == {
        "rule_train_wildcards_mtl_1",
        "rule_train_wildcards_mtl-reset_1",
    }
    for job in trainings:
        assert job["JobState"] == "COMPLETED"
        assert job["TresPerJob"] == "gres:gpu:8" and job["JOB_GRES"] == "gpu:a100:8"
        assert job["NumNodes"] == "1" and job["NumCPUs"] == "64"
        assert job["TimeLimit"] == "1-00:00:00" and job["Partition"] == "gpu"
        assert "mem=" in job["TRES"]


def test_light_work_is_no_job_of_the_cluster(finished: Clone, cluster: Cluster) -> None:
    submitted = {
        re.match(r"rule_(\w+?)(_wildcards_|$)", job["Comment"]).group(1)
        for job in cluster.jobs()
        if job["WorkDir"] == str(finished.folder)
    }
    assert {"prepare_split", "build_mixture", "train", "generate_outputs"} <= submitted
    assert not submitted & LOCAL_RULES


def test_a_deleted_table_submits_no_job(finished: Clone, cluster: Cluster) -> None:
    before = len(cluster.jobs())
    table = finished.results / "metrics" / "main_table.csv"
    content = table.read_bytes()
    table.unlink()
    finished.snakemake("results/mini/metrics/main_table.csv").succeeded()
    assert table.read_bytes() == content
    assert len(cluster.jobs()) == before


def test_a_deleted_score_is_made_again_alone(finished: Clone, cluster: Cluster) -> None:
    score = "results/mini/scores/generations/mtl/seed-1/best/lexical.parquet"
    content = (finished.folder / score).read_bytes()
    (finished.folder / score).unlink()
    before = len(cluster.jobs())
    finished.snakemake().succeeded()
    assert (finished.folder / score).read_bytes() == content
    assert [job["Comment"] for job in cluster.jobs()[before:]] == [
        "rule_score_outputs_wildcards_mtl_1_best_lexical"
    ]
    assert "Nothing to be done" in finished.snakemake("-n").output


def test_what_a_change_would_make_again_is_what_it_is_elsewhere(
    finished: Clone, tmp_path: Path
) -> None:
    """The cluster's own settings are no reason, a new learning rate is."""
    more = finished.snakemake("-n", RESET_CPUS_PER_GPU="4", RESET_TRAINING_NODES="2")
    assert "Nothing to be done" in more.output
    overlay = tmp_path / "rate.yaml"
    overlay.write_text(json.dumps({"runs": {"mtl-reset": {"training": {"learning_rate": 0.01}}}}))
    changed = finished.with_overlay(overlay).snakemake("-n").succeeded()
    jobs = planned_jobs(changed.output)
    assert jobs["train"] == 1 and "build_mixture" not in jobs
