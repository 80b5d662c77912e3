"""metrics/cost.csv from the benchmark files of a real small run."""

from pathlib import Path

import pandas as pd
import pytest

from reset_tuning.errors import InputError
from reset_tuning.provenance.costs import tabulate_cost
from reset_tuning.provenance.manifest import read_manifest

PRICES = {"gpt-4": {"prompt": 30.0, "completion": 60.0}}


@pytest.fixture
def costs(toy: Path) -> pd.DataFrame:
    return costs_of(toy)


def costs_of(toy: Path) -> pd.DataFrame:
    table = toy / "cost.csv"
    tabulate_cost(read_manifest(toy / "results" / "toy").files, table, PRICES, toy)
    return pd.read_csv(table)


def row(costs: pd.DataFrame, rule: str, run: str | None = None) -> pd.Series:
    found = costs[costs["rule"] == rule]
    found = found[found["run"].isna()] if run is None else found[found["run"] == run]
    assert len(found) == 1, found
    return found.iloc[0]


def test_every_job_is_counted_once_by_rule_and_run(costs: pd.DataFrame) -> None:
    assert row(costs, "train", "mtl")["n_jobs"] == 2
    assert row(costs, "generate_outputs", "vicuna-7b")["n_jobs"] == 1
    assert row(costs, "collect_scores")["n_jobs"] == 1
    parts = costs[costs["rule"] != "total"]
    total = row(costs, "total")
    assert total["n_jobs"] == parts["n_jobs"].sum() == 21
    assert total["wall_seconds"] == pytest.approx(parts["wall_seconds"].sum(), rel=1e-3)
    assert total["max_memory_mb"] == parts["max_memory_mb"].max() > 0


def test_wall_and_memory_are_those_of_the_benchmarks(toy: Path, costs: pd.DataFrame) -> None:
    folder = toy / "results" / "toy" / "benchmarks" / "train" / "mtl"
    measured = pd.concat([pd.read_json(path, lines=True) for path in folder.glob("*.jsonl")])
    cost = row(costs, "train", "mtl")
    assert cost["wall_seconds"] == pytest.approx(measured["s"].sum(), rel=1e-4)
    assert cost["cpu_seconds"] == pytest.approx(measured["cpu_time"].sum(), rel=1e-4)


def test_a_training_tells_its_gpu_time_over_all_its_attempts(costs: pd.DataFrame) -> None:
    assert row(costs, "train", "mtl")["gpu_seconds"] == 25.0
    assert row(costs, "score_outputs", "mtl")["gpu_seconds"] == 0.0


def test_gpu_time_is_wall_time_by_the_gpus_that_the_job_saw(toy: Path) -> None:
    record = toy / "results/toy/logs/generate_outputs/mtl/seed-1/best.job.json"
    record.write_text(record.read_text().replace('"gpus": 0', '"gpus": 4'))
    benchmark = toy / "results/toy/benchmarks/generate_outputs/mtl/seed-1/best.jsonl"
    wall = pd.read_json(benchmark, lines=True)["s"].item()
    cost = row(costs_of(toy), "generate_outputs", "mtl")
    assert cost["gpu_seconds"] == pytest.approx(4 * wall, rel=1e-4)


def test_a_reply_that_three_tables_share_is_paid_once(costs: pd.DataFrame) -> None:
    judged = costs[costs["rule"] == "query_judge"]
    assert judged["prompt_tokens"].sum() == 1000
    assert row(costs, "train", "mtl")["prompt_tokens"] == 0
    assert judged["dollars"].sum() == pytest.approx((1000 * 30 + 100 * 60) / 1e6)
    assert row(costs, "total")["dollars"] == pytest.approx(0.036)


def test_jobs_without_a_benchmark_are_counted_as_unmeasured(toy: Path) -> None:
    (toy / "results/toy/benchmarks/collect_scores.jsonl").unlink()
    cost = row(costs_of(toy), "collect_scores")
    assert (cost["n_jobs"], cost["n_unmeasured"]) == (1, 1)


def test_nothing_on_record_is_one_sentence(toy: Path) -> None:
    with pytest.raises(InputError, match="no record of the jobs"):
        tabulate_cost(["nowhere.csv"], toy / "cost.csv", PRICES, toy)
