"""What is asked of SLURM before a start, and what a job asks of it."""

from pathlib import Path

import pytest

from reset_tuning.errors import InputError
from reset_tuning.slurm import (
    HeldJob,
    check_no_second_writer,
    comment_of,
    gpus_of,
    grown,
    held_jobs,
    remember_run,
    site_number,
    training_memory_mb,
)

TRAIN = "rule_train_wildcards_mtl_1"


@pytest.fixture
def squeue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A squeue that prints what a file holds, or fails without it; asked.txt keeps its options."""
    program = tmp_path / "squeue"
    program.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/asked.txt\ncat {tmp_path}/held.txt\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return tmp_path / "held.txt"


def test_the_comment_is_that_of_the_plugin() -> None:
    assert comment_of("train", ["mtl", "1"]) == TRAIN
    assert comment_of("collect_scores", []) == "rule_collect_scores"


def test_a_job_of_an_earlier_run_that_makes_the_same_stops_a_start(
    squeue: Path, tmp_path: Path
) -> None:
    journal = tmp_path / "logs" / "slurm_runs.txt"
    check_no_second_writer(journal, {TRAIN})  # the first run: nothing to ask
    assert not (tmp_path / "asked.txt").exists()
    remember_run(journal, "reset_a")
    remember_run(journal, "reset_b")
    squeue.write_text(f"17|RUNNING|{TRAIN}\n18|PENDING|rule_train_wildcards_other_1\n")
    with pytest.raises(InputError, match=r"17 \(rule_train_wildcards_mtl_1, RUNNING\).*scancel 17"):
        check_no_second_writer(journal, {TRAIN})
    assert "--name=reset_a,reset_b" in (tmp_path / "asked.txt").read_text()
    check_no_second_writer(journal, {"rule_train_wildcards_mtl_2"})


def test_a_queue_that_cannot_be_read_stops_a_start(squeue: Path) -> None:
    with pytest.raises(InputError, match="squeue does not answer"):
        held_jobs(["reset_a"])
    squeue.write_text("3|COMPLETING|a|b\n")
    assert held_jobs(["reset_a"]) == [HeldJob("3", "COMPLETING", "a|b")]


def test_without_slurm_nothing_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    assert held_jobs(["reset_a"]) == []


def test_resources_grow_by_half_and_stop_at_the_limit() -> None:
    assert [grown(1000, attempt) for attempt in (1, 2, 3)] == [1000, 1500, 2000]
    assert [grown(60, attempt, most=80) for attempt in (1, 2)] == [60, 80]


@pytest.mark.parametrize(
    ("resources", "gpus"),
    [
        ({"gpu": 8, "nodes": 1}, 8),
        ({"gpu": 0, "gpus_per_node": 8, "nodes": 2}, 16),
        ({"gpus_per_node": 4}, 4),
        ({"mem_mb": 1000, "nodes": 2}, 0),
        ({"gpu": "<TBD>"}, 0),
    ],
)
def test_gpus_are_asked_for_in_all_or_node_by_node(resources: dict, gpus: int) -> None:
    assert gpus_of(resources) == gpus


def test_a_limit_of_the_site_is_a_plain_number_or_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RESET_MAX_RUNTIME", raising=False)
    assert site_number("RESET_MAX_RUNTIME", "minutes", default=1440) == 1440
    for value, limit in (("", 1440), ("480", 480)):
        monkeypatch.setenv("RESET_MAX_RUNTIME", value)
        assert site_number("RESET_MAX_RUNTIME", "minutes", default=1440) == limit
    for value in ("24h", "0", "-1", "1.5"):
        monkeypatch.setenv("RESET_MAX_RUNTIME", value)
        with pytest.raises(InputError, match=f"RESET_MAX_RUNTIME is '{value}', but must be"):
            site_number("RESET_MAX_RUNTIME", "minutes")


def test_the_memory_of_a_training_follows_the_models_size() -> None:
    seven = training_memory_mb(6.74e9, ranks=8)
    assert 200_000 < seven < 300_000
    assert training_memory_mb(1.1e9, ranks=1) < 40_000
    assert training_memory_mb(70e9, ranks=8) > 1_000_000


def test_every_node_of_a_training_holds_its_share_of_the_state() -> None:
    one, two, four = (training_memory_mb(70e9, ranks=8, nodes=nodes) for nodes in (1, 2, 4))
    assert one - two == 14 * 70e3 / 2 and two - four == 14 * 70e3 / 4
    assert four > 8 * 18e3 + 2 * 70e3  # what each rank reads, and the gathered weights
