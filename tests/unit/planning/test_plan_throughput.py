"""Hours from a table, and from the experiment's own jobs once there are any."""

import json
from pathlib import Path

import pandas as pd
import pytest

from helpers import ROOT
from reset_tuning.errors import InputError
from reset_tuning.planning.throughput import Throughput, finished_jobs
from reset_tuning.planning.work import ENTAIL, JUDGE, OTHER, READ, TRAIN, WRITE, Work, Workload

TABLE = pd.read_csv(ROOT / "resources" / "planning" / "throughput.csv", comment="#")


def benchmark(path: Path, seconds: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"s": seconds}) + "\n")


def provenance(checkpoints: Path, run: str, seconds: float, ranks: int) -> None:
    folder = checkpoints / run / "seed-1"
    folder.mkdir(parents=True)
    report = {"device": "A100", "geometry": {"ranks": ranks}, "train_seconds": seconds}
    (folder / "provenance.json").write_text(json.dumps({"training": report}))


def test_every_figure_has_a_source_and_every_device_every_stage() -> None:
    assert TABLE["source"].notna().all() and TABLE["basis"].notna().all()
    stages = {TRAIN, READ, WRITE, ENTAIL, JUDGE}
    starts = {f"start_{stage}" for stage in (TRAIN, WRITE, ENTAIL, JUDGE, OTHER)}
    for device in set(TABLE["device"]):
        assert set(TABLE[TABLE["device"] == device]["stage"]) == stages | starts
    assert not TABLE.duplicated(["stage", "device"]).any()


def test_an_unknown_device_is_one_sentence() -> None:
    with pytest.raises(InputError, match="plan.device is 'v100'.*a100, cpu"):
        Throughput(TABLE, "v100")


def test_seconds_go_with_tokens_size_and_gpus() -> None:
    throughput = Throughput(TABLE, "a100")
    work = Work(TRAIN, {TRAIN: 2500 * 3600 * 8.0}, parameters=6.74e9)
    start = throughput.speed("train", work).overhead
    assert throughput.seconds("train", work, 8) == pytest.approx(start + 3600)
    assert throughput.seconds("train", work, 1) == pytest.approx(start + 8 * 3600)
    twice = Work(TRAIN, work.amounts, parameters=2 * 6.74e9)
    assert throughput.seconds("train", twice, 8) == pytest.approx(start + 7200)


def test_own_trainings_replace_the_table(workload: Workload, tmp_path: Path) -> None:
    wildcards = {"run": "mtl-reset", "seed": "1"}
    work = workload.of("train", wildcards)
    benchmark(tmp_path / "benchmarks" / "train" / "mtl-reset" / "seed-1.jsonl", 700.0)
    provenance(tmp_path / "checkpoints", "mtl-reset", 500.0, ranks=8)
    throughput = Throughput(TABLE, "a100")
    assert throughput.speed("train", work).basis != "measured"
    throughput.learn(tmp_path / "benchmarks", tmp_path / "checkpoints", workload, {"train": 8})
    assert throughput.speed("train", work).basis == "measured"
    assert throughput.seconds("train", work, 8) == pytest.approx(700.0)
    assert throughput.seconds("train", work, 4) == pytest.approx(200.0 + 2 * 500.0)
    double = Work(TRAIN, {TRAIN: 2 * work.amounts[TRAIN]}, work.parameters)
    assert throughput.seconds("train", double, 8) == pytest.approx(200.0 + 2 * 500.0)


def test_jobs_without_work_to_count_take_their_mean(workload: Workload, tmp_path: Path) -> None:
    for name, seconds in (("a", 4.0), ("b", 6.0)):
        benchmark(tmp_path / "benchmarks" / "prepare_split" / f"{name}.train.jsonl", seconds)
    throughput = Throughput(TABLE, "a100")
    throughput.learn(tmp_path / "benchmarks", tmp_path / "checkpoints", workload, {})
    assert throughput.seconds("prepare_split", Work(OTHER), 0) == pytest.approx(5.0)


def test_benchmarks_that_cannot_be_read_are_passed_over(tmp_path: Path, workload: Workload) -> None:
    benchmark(tmp_path / "train" / "mtl" / "seed-1.jsonl", 3.0)
    benchmark(tmp_path / "train" / "odd.jsonl", 3.0)
    broken = tmp_path / "train" / "mtl" / "seed-2.jsonl"
    broken.write_text("{")
    assert list(finished_jobs(tmp_path)) == [("train", {"run": "mtl", "seed": "1"}, 3.0)]
    benchmark(tmp_path / "train" / "gone" / "seed-1.jsonl", 3.0)
    Throughput(TABLE, "a100").learn(tmp_path, tmp_path / "checkpoints", workload, {})


def test_a_job_that_found_its_work_done_tells_no_speed(workload: Workload, tmp_path: Path) -> None:
    """A deleted table is made again from the sidecar in seconds: the next pool is not."""
    work = workload.of("generate_outputs", {"run": "mtl", "seed": "1", "checkpoint": "best"})
    throughput, name = Throughput(TABLE, "a100"), "generate_outputs/mtl/seed-1/best"

    def measured(seconds: float, known_before: float) -> float:
        benchmark(tmp_path / "benchmarks" / f"{name}.jsonl", seconds)
        record = tmp_path / "logs" / f"{name}.job.json"
        record.parent.mkdir(parents=True, exist_ok=True)
        record.write_text(json.dumps({"known_before": known_before}))
        throughput.learn(tmp_path / "benchmarks", tmp_path / "checkpoints", workload, {})
        return throughput.seconds("generate_outputs", work, 1)

    planned = throughput.seconds("generate_outputs", work, 1)
    assert measured(7000.0, 0.0) == pytest.approx(7000.0)
    assert measured(12.0, 1.0) == pytest.approx(planned)
