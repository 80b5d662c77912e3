"""The frame around every script: what it hands to it, and what a job leaves in its record."""

import json
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest

from reset_tuning import jobs, reuse


def record_of(folder: Path, main) -> dict:
    """Run a script's main as a job and return the record beside its log."""
    snakemake = SimpleNamespace(
        log=[str(folder / "job.log")], threads=1, rule="made_up", wildcards={}, params={},
        input={}, output={}, resources={},
    )  # fmt: skip
    jobs.run(main, snakemake)
    return json.loads((folder / "job.job.json").read_text())


def test_a_job_tells_how_much_of_its_work_was_known_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "configure_logging", lambda log: None)
    monkeypatch.setattr(jobs, "_THREAD_VARIABLES", ())
    monkeypatch.setattr(reuse, "_counts", Counter())
    nothing_to_count = record_of(tmp_path, lambda: None)
    assert nothing_to_count["rule"] == "made_up" and "known_before" not in nothing_to_count
    told = record_of(tmp_path, lambda: reuse.count_known(3, 4))
    assert told["known_before"] == 0.75 and told["rule"] == "made_up"


def test_a_job_of_several_nodes_is_told_all_its_gpus() -> None:
    """Its resource `gpu` is 0: the GPUs are asked for node by node."""
    told = {}

    def main(*, gpu: int, nodes: int) -> None:
        told.update(gpu=gpu, nodes=nodes)

    resources = {"gpu": 0, "gpus_per_node": 8, "nodes": 2}
    none = {name: {} for name in ("input", "output", "params")}
    jobs.run(main, SimpleNamespace(**none, resources=resources, threads=1, log=[], rule="train"))
    assert told == {"gpu": 16, "nodes": 2}
