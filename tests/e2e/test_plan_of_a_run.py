"""The plan beside what a run used, and both plan and preflight as people call them."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest

from helpers import ROOT, copy_tree, planned_jobs, run_snakemake

CONFIGS = ("config/mini.yaml", str(ROOT / "tests" / "e2e" / "tiny.yaml"))
TRAINED, WRITTEN = ("train",), ("generate_outputs", "sample_outputs")
JUDGED = ("query_judge", "query_pool_judge")


def plan_of(folder: Path, *arguments: str) -> pd.DataFrame:
    """Plan the shrunken miniature in a folder and return the table by rule."""
    profile = ("--profile", "profiles/mini", "--configfile", *CONFIGS)
    done = run_snakemake(folder, "plan", *profile, *arguments)
    assert done.returncode == 0, done.stdout[-4000:]
    return pd.read_csv(folder / "results" / "mini" / "plan" / "plan.csv").set_index("rule")


@contextmanager
def away(path: Path) -> Iterator[None]:
    """Let a file or folder of the run be gone for a block."""
    kept = path.with_name(f"{path.name}.kept")
    shutil.move(path, kept)
    try:
        yield
    finally:
        shutil.move(kept, path)


def written_tokens(results: Path) -> int:
    """Return the tokens of all outputs that models have written: each of them once."""
    lines = [
        line
        for path in (results / "sidecars" / "outputs").glob("*/*.jsonl")
        for line in path.read_text().splitlines()
    ]
    results_of = [json.loads(line)["result"] for line in lines]
    return sum(
        item["n_tokens"] if isinstance(item, dict) else next(v for v in item if isinstance(v, int))
        for item in results_of
    )


def trained_tokens(results: Path) -> int:
    reports = (results / "checkpoints").glob("*/seed-*/provenance.json")
    return sum(json.loads(path.read_text())["training"]["train_tokens"] for path in reports)


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """The plan of a fresh clone, of which nothing has run."""
    return plan_of(copy_tree(tmp_path_factory.mktemp("plan") / "workflow"))


def test_planned_tokens_are_near_what_was_used(miniature, before: pd.DataFrame) -> None:
    cost = pd.read_csv(miniature.results / "metrics" / "judge_cost.csv")
    used = {
        TRAINED: trained_tokens(miniature.results),
        WRITTEN: written_tokens(miniature.results),
        JUDGED: int(cost[["prompt_tokens", "completion_tokens"]].sum().sum()),
    }
    shares = {rules: before.loc[list(rules), "tokens"].sum() / n for rules, n in used.items()}
    print({"+".join(rules): round(share, 3) for rules, share in shares.items()})
    assert all(0.75 <= share <= 1.25 for share in shares.values()), (shares, used)


def test_what_was_written_tells_what_is_left(miniature) -> None:
    """Half of the systems have no answers yet: those of the others say how long they will be."""
    generations = miniature.results / "generations"
    runs = sorted(path.name for path in generations.iterdir())
    left, kept = runs[::2], runs[1::2]
    answers = {run: judged_answers(generations / run) for run in runs}
    tokens = sum(written_once(generations / run)["n_tokens"].sum() for run in left)
    known = set().union(*(answers[run] for run in kept))
    new = set().union(*(answers[run] for run in left)) - known
    cost = pd.read_csv(miniature.results / "metrics" / "judge_cost.csv")
    cost = cost[cost["stage"] == "generations"]
    per_request = cost[["prompt_tokens", "completion_tokens"]].sum().sum() / cost["n_replies"].sum()
    aside = miniature.folder / "aside"
    aside.mkdir()
    for run in left:
        shutil.move(generations / run, aside / run)
    try:
        planned = plan_of(miniature.folder)["tokens"]
    finally:
        for run in left:
            shutil.move(aside / run, generations / run)
    print(planned["generate_outputs"] / tokens, planned["query_judge"] / (len(new) * per_request))
    assert planned["generate_outputs"] == pytest.approx(tokens, rel=0.25)
    # Which answers are new depends on which half is there: seen 24 % too high.
    assert planned["query_judge"] == pytest.approx(len(new) * per_request, rel=0.4)


def written_once(run: Path) -> pd.DataFrame:
    """Return a run's answers, those of the last weights only where these are not the best."""
    frames = {path.stem: pd.read_parquet(path) for path in run.glob("seed-*/*.parquet")}
    return pd.concat(frames.values()).drop_duplicates(["example_id", "output"])


def judged_answers(run: Path) -> set[tuple[str, str]]:
    answers = written_once(run)
    judged = answers[answers["dataset"].isin(["alpaca", "vicuna_eval", "koala_eval"])]
    return set(zip(judged["example_id"], judged["output"], strict=True))


def test_a_plan_counts_the_jobs_of_a_dry_run(miniature, before: pd.DataFrame) -> None:
    fresh = copy_tree(miniature.folder.parent / "fresh")
    dry = run_snakemake(fresh, "-n", "--profile", "profiles/mini", "--configfile", *CONFIGS)
    jobs = planned_jobs(dry.stdout)
    jobs.pop("all")
    assert before["jobs"].drop("total").to_dict() == jobs
    assert before.loc["total", "gpu_hours"] == 0


def test_nothing_is_left_after_a_run(miniature) -> None:
    assert list(plan_of(miniature.folder).index) == ["total"]


def test_a_plan_says_what_remains_and_what_is_paid(miniature) -> None:
    """Without its judgments a checkpoint is asked about again, and all replies are on record."""
    judgments = miniature.results / "judgments" / "generations" / "mtl" / "seed-1" / "best"
    with away(judgments):
        left = plan_of(miniature.folder)
    assert left.loc["query_judge", "jobs"] == 1
    assert left.loc["query_judge", "requests"] == 0 < left.loc["query_judge", "recorded"]
    assert "train" not in left.index


def test_own_jobs_replace_the_table(miniature) -> None:
    """A training of the run is made again: the plan takes the speed of those that were made."""
    weights = miniature.results / "checkpoints" / "mtl-reset" / "seed-1" / "best" / "config.json"
    with away(weights):
        left = plan_of(miniature.folder)
    assert left.loc["train", "jobs"] == 1
    assert "speed measured" in left.loc["train", "basis"]
    took = json.loads(
        (miniature.results / "benchmarks" / "train" / "mtl-reset" / "seed-1.jsonl").read_text()
    )["s"]
    assert left.loc["train", "hours"] * 3600 == pytest.approx(took, rel=0.6)


def test_a_limit_stops_the_plan_with_one_sentence(miniature, tmp_path: Path) -> None:
    fresh = copy_tree(tmp_path / "workflow")
    limits = ("--config", "plan={target: prepare, limits: {disk_gb: 0}}")
    done = run_snakemake(
        fresh, "plan", "--profile", "profiles/mini", "--configfile", *CONFIGS, *limits
    )
    assert done.returncode != 0
    errors = [line for line in done.stdout.splitlines() if " ERROR " in line]
    assert len(set(errors)) == 1 and "above plan.limits.disk_gb 0" in errors[0]
    assert "Traceback" not in done.stdout


def test_preflight_passes_on_a_cpu_and_nothing_depends_on_it(miniature) -> None:
    done = miniature.snakemake("preflight")
    assert done.returncode == 0, done.stdout[-3000:]
    (gpus,) = [line for line in done.stdout.splitlines() if " GPUs " in line]
    assert "ok" in gpus and "CPU" in gpus
    failing = miniature.snakemake("preflight", RESET_RAW_DIR="/nowhere", CUDA_VISIBLE_DEVICES="9")
    assert failing.returncode == 0
    left = miniature.snakemake("-n", "all")
    assert planned_jobs(left.stdout) == {}, left.stdout[-2000:]


def test_a_job_of_a_model_begins_with_the_verdicts(miniature) -> None:
    for name in (
        "train/mtl/seed-1",
        "generate_outputs/mtl/seed-1/best",
        "sample_outputs/mtl/seed-1/reset",
    ):
        lines = (miniature.results / "logs" / f"{name}.log").read_text().splitlines()
        assert any("GPUs" in line and "ok" in line for line in lines[:4]), name
