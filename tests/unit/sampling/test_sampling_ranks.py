"""Jobs on several processes, and jobs that die: real torchrun, real SIGKILL."""

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest
import torch

from helpers import ROOT
from reset_tuning.errors import InputError
from reset_tuning.sampling.engines import Means
from reset_tuning.sampling.generation import (
    GenerationJob,
    generate_share,
    generation_job,
    sample_outputs,
)
from reset_tuning.sampling.prompts import Prompt, write_prompts
from reset_tuning.tables import read_table, write_table

EXAMPLES = 24
SPEC = {
    "kind": "grid",
    "max_new_tokens": 24,
    "temperatures": [0.5, 1.0, 1.5],
    "top_ks": [5, 10, 20],
    "top_k_temperature": 1.0,
    "arm": "both",
    "rounds": 1,
    "examples_per_set": EXAMPLES,
}
DRAWS = EXAMPLES * 6


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    ids = [f"{number:04x}" for number in range(EXAMPLES)]
    rows = pd.DataFrame({"example_id": ids}).assign(
        dataset="nq", kind="extractive_qa", instruction=None, context="x", question="who",
        references=[["x"]] * EXAMPLES, source_row="x", set="nq", copy=0, response="red",
        prompt=["### Question: " + "who owns red " * (1 + n % 5) for n in range(EXAMPLES)],
        n_prompt_tokens=6, n_response_tokens=2, n_context_tokens_cut=0,
    )  # fmt: skip
    write_table(rows, tmp_path / "train.parquet", "mixture")
    return tmp_path / "train.parquet"


@pytest.fixture
def sample(tmp_path: Path, checkpoint: Path, pool: Path) -> Callable[..., pd.DataFrame]:
    def call(name: str = "sidecar", **changes: Any) -> pd.DataFrame:
        sample_outputs(job(checkpoint, tmp_path / name, **changes), pool, tmp_path / "s.parquet")
        return read_table(tmp_path / "s.parquet", "generation")

    return call


def job(
    checkpoint: Path, sidecar: Path, batch_tokens: int = 256, cpu_ranks: int = 1, **changes: Any
) -> GenerationJob:
    values = {
        "run": "mtl", "seed": 1, "checkpoint": "best", "decoding": "reset", "spec": SPEC,
        "model": sorted(checkpoint.iterdir()), "model_path": str(checkpoint), "dtype": "float32",
        "attention": "sdpa", "max_length": 100, "sidecar": sidecar,
        "means": Means(batch_tokens=batch_tokens, cpu_ranks=cpu_ranks),
    }  # fmt: skip
    return generation_job(**values | changes)


def stored(sidecar: Path) -> list[str]:
    """Return the keys of all whole lines in a sidecar, with repetitions."""
    lines = [line for file in sidecar.rglob("*.jsonl") for line in file.read_text().splitlines()]
    keys = []
    for line in lines:
        try:
            keys.append(json.loads(line)["key"])
        except ValueError:
            continue
    return keys


@pytest.mark.parametrize("ranks", [2, 5])
def test_ranks_write_the_table_of_one_process(
    ranks: int,
    sample: Callable[..., pd.DataFrame],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
):
    caplog.set_level(logging.INFO)
    spec = SPEC | {"examples_per_set": 3}  # with five ranks two have nothing to do
    expected = sample(spec=spec)
    assert sample("other", spec=spec, cpu_ranks=ranks, batch_tokens=10).equals(expected)
    files = list((tmp_path / "other").rglob("*.jsonl"))
    assert len(files) == min(ranks, 3)
    assert "rank 1: " in caplog.text and "rows/s" in caplog.text
    # Everything is known now: no further process is started.
    caplog.clear()
    assert sample("other", spec=spec, cpu_ranks=ranks).equals(expected)
    assert "ranks share" not in caplog.text


@pytest.mark.parametrize(("ranks", "of_each"), [(1, 8), (3, 2), (16, 1)])
def test_the_ranks_of_a_job_share_its_threads(
    ranks: int,
    of_each: int,
    checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    """Each rank took all of them, so that they were in each other's way."""
    threads: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", threads.append)
    write_prompts([Prompt("a", "nq", "who owns red", 4)], tmp_path)
    wanted = job(checkpoint, tmp_path / "sidecar", means=Means(batch_tokens=64, threads=8))
    generate_share(wanted, tmp_path, rank=0, ranks=ranks)
    assert threads == [of_each]


def test_a_rank_that_dies_fails_the_job_and_keeps_the_others_rows(
    sample: Callable[..., pd.DataFrame], tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO)
    sidecar = tmp_path / "sidecar"
    thread = threading.Thread(target=kill_a_rank, args=(sidecar,))
    thread.start()
    # One prompt a batch, so that the ranks are still at work when one of them is killed.
    slow = {"spec": SPEC | {"max_new_tokens": 60}, "batch_tokens": 1}
    with pytest.raises(InputError, match="the generation ended with exit status"):
        sample(cpu_ranks=2, **slow)
    thread.join()
    before = stored(sidecar)
    assert 0 < len(set(before)) < DRAWS
    rows = sample(cpu_ranks=2, **slow)
    assert rows["multiplicity"].sum() == DRAWS
    after = stored(sidecar)
    # Nothing that was finished has been made again.
    assert len(after) == len(set(after)) == DRAWS
    assert rows.equals(sample("alone", **slow | {"batch_tokens": 256}))


def kill_a_rank(sidecar: Path) -> None:
    """Wait until some rank has stored something, and kill it; its file bears its number."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        for file in sidecar.rglob("*.jsonl"):
            os.kill(int(file.stem.split("-")[-2]), signal.SIGKILL)
            return
        time.sleep(0.01)


def test_a_job_killed_by_sigkill_recomputes_at_most_the_batch_in_flight(
    sample: Callable[..., pd.DataFrame], tmp_path: Path, checkpoint: Path, pool: Path
):
    sidecar = tmp_path / "sidecar"
    slow = {"spec": SPEC | {"max_new_tokens": 60}, "batch_tokens": 1}
    kill_a_job([checkpoint, sidecar, pool, tmp_path / "killed.parquet", 1], sidecar)
    before = stored(sidecar)
    assert 30 <= len(before) < DRAWS
    assert not (tmp_path / "killed.parquet").exists()
    rows = sample(**slow)
    after = stored(sidecar)
    assert len(after) == len(set(after)) == DRAWS
    assert rows.equals(sample("alone", **slow | {"batch_tokens": 256}))
    assert not list(tmp_path.glob(".s-*"))  # the folder of prompts


def test_the_ranks_of_a_job_killed_by_sigkill_end_with_it(
    tmp_path: Path, checkpoint: Path, pool: Path
):
    sidecar = tmp_path / "sidecar"
    kill_a_job([checkpoint, sidecar, pool, tmp_path / "killed.parquet", 2], sidecar)
    ranks = [int(file.stem.split("-")[-2]) for file in sidecar.rglob("*.jsonl")]
    deadline = time.monotonic() + 60
    while any(map(psutil.pid_exists, ranks)):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert ranks and len(stored(sidecar)) < DRAWS  # they were stopped, and had not finished


def kill_a_job(arguments: list[Any], sidecar: Path) -> None:
    """Start a job as a process of its own, and kill it when it has stored some rows."""
    process = subprocess.Popen(
        [sys.executable, __file__, *map(str, arguments)],
        env=os.environ
        | {"PYTHONPATH": os.pathsep.join(map(str, (ROOT / "scripts", ROOT / "tests")))},
    )
    while process.poll() is None and len(stored(sidecar)) < 30:
        time.sleep(0.005)
    process.kill()
    assert process.wait() == -signal.SIGKILL


if __name__ == "__main__":
    folder, sidecar, pool_file, samples = map(Path, sys.argv[1:5])
    means = {"batch_tokens": 1, "cpu_ranks": int(sys.argv[5])}
    wanted = job(folder, sidecar, spec=SPEC | {"max_new_tokens": 60}, **means)
    sample_outputs(wanted, pool_file, samples)
