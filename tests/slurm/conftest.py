"""One SLURM cluster for all tests of this folder, and clones of the workflow to run on it."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from slurm_cluster import Clone, Cluster, running_cluster, why_no_cluster

# RESET_LONG_TESTS=1 runs these too: they wait for minutes, or depend on how fast the machine is.
LONG = {
    "test_a_time_limit_costs_no_step",
    "test_a_lost_node_whose_job_lives_on_makes_no_second_writer",
    "test_a_head_job_queues_itself_again_before_its_limit",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the tests of this folder, with the reason, where they cannot or should not run."""
    reason = why_no_cluster()
    runs_long = bool(os.environ.get("RESET_LONG_TESTS"))
    for item in items:
        if not item.get_closest_marker("slurm"):
            continue
        if reason:
            item.add_marker(pytest.mark.skip(reason=reason))
        elif item.name in LONG and not runs_long:
            item.add_marker(pytest.mark.skip(reason="runs with RESET_LONG_TESTS=1"))


@pytest.fixture(scope="session")
def whole_cluster() -> Iterator[Cluster]:
    with running_cluster() as cluster:
        yield cluster


@pytest.fixture
def cluster(whole_cluster: Cluster) -> Iterator[Cluster]:
    """The cluster, without jobs before and after the test."""
    yield whole_cluster
    whole_cluster.clear()


@pytest.fixture(scope="session")
def prepared(whole_cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A clone in which all is made that a training of `mtl` reads; to be copied, not changed."""
    clone = Clone.fresh(tmp_path_factory.mktemp("prepared") / "workflow", whole_cluster)
    target = "results/mini/mixtures/all/train.parquet"
    clone.snakemake(target, "results/mini/runs/mtl.json", profile="").succeeded()
    return clone


@pytest.fixture
def clone(prepared: Clone, cluster: Cluster, tmp_path: Path) -> Iterator[Clone]:
    clone = prepared.copy(tmp_path / "workflow")
    yield clone
    clone.stop()
