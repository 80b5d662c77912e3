"""The frame around every script: what it hands to it, and what a job leaves in its record."""

import json
import os
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


def test_a_job_uses_the_threads_of_its_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the tokenizers and of the near-duplicate search too, which take every core."""
    names = ("OMP_NUM_THREADS", "RAYON_NUM_THREADS")
    for name in names:
        monkeypatch.setenv(name, "7")
    none = {name: {} for name in ("input", "output", "params", "resources")}
    found = {}
    job = SimpleNamespace(**none, threads=3, log=[], rule="prepare_split")
    jobs.run(lambda: found.update({name: os.environ[name] for name in names}), job)
    assert set(found.values()) == {"3"}


def test_one_file_of_a_rule_is_listed_like_several() -> None:
    assert jobs.listed(Path("a")) == [Path("a")]
    assert jobs.listed((Path("a"), Path("b"))) == [Path("a"), Path("b")] and jobs.listed(()) == []


def test_a_job_may_take_all_its_resources_together() -> None:
    told = {}
    resources = {"mode": "live", "gpu": 1}
    none = {name: {} for name in ("input", "output", "params")}
    job = SimpleNamespace(**none, resources=resources, threads=2, log=[], rule="query_judge")
    jobs.run(lambda *, resources: told.update(resources), job)
    assert told == {"mode": "live", "gpu": 1, "threads": 2}
