"""Tables to draw, made by hand."""

import pandas as pd
import pytest

METRICS = ("instruction_following", "faithfulness_extractive", "faithfulness_abstractive")


@pytest.fixture
def tradeoff() -> pd.DataFrame:
    """One pipeline whose start is one evaluation and whose later points have three seeds."""
    rows = []
    for place, metric in enumerate(METRICS):
        for checkpoint, level in (("start", 0.8), ("best", 0.4), ("last", 0.35)):
            values = [level + place / 10 + seed / 50 for seed in range(3)]
            values = values[:1] if checkpoint == "start" else values
            frame = pd.Series(values)
            rows.append(
                {
                    "pipeline": "if-to-cd",
                    "label": "IF→CD",
                    "run": "vicuna-cd",
                    "checkpoint": checkpoint,
                    "metric": metric,
                    "n_seeds": len(values),
                    "mean": frame.mean(),
                    "sd": frame.std(),
                    "low": frame.mean() - 0.05,
                    "high": frame.mean() + 0.05,
                    "change_vs_start": None,
                    "change_sd": None,
                    "change_low": None,
                    "change_high": None,
                    "note": None,
                    "n": 100.0,
                    "n_failed": 0.0,
                    "seed_values": " ".join(f"{value:.6g}" for value in values),
                }
            )
    return pd.DataFrame(rows)


@pytest.fixture
def trajectories() -> pd.DataFrame:
    rows = [
        {
            "run": run,
            "seed": seed,
            "step": step,
            "epoch": step / 600,
            "train_loss": None,
            "eval_loss": 1.0,
            "perplexity": 3.0 + abs(step - 400) / 400 + seed / 20,
            "learning_rate": 1e-5,
            "best": step <= 400,
            "chosen": step == 400,
            "n_seeds": 3,
            "perplexity_mean": 3.0,
            "perplexity_sd": 0.1,
        }
        for run in ("mtl", "llama-cd", "llama-cd-if", "vicuna-cd")
        for seed in (1, 2, 3)
        for step in range(100, 700, 100)
    ]
    return pd.DataFrame(rows)


MAIN_CSV = """\
label,run,checkpoint,n_seeds,instruction_following,instruction_following_sd,overall,overall_sd,overall_n,overall_failed
zero-shot,vicuna-7b,start,1,0.5,,0.25,,10,1
w/ MTL,mtl,best,3,0.75,0.0123,,,9,2
"""


@pytest.fixture
def main_csv(tmp_path):
    path = tmp_path / "main_table.csv"
    path.write_text(MAIN_CSV, encoding="utf-8")
    return path


@pytest.fixture
def cells() -> pd.DataFrame:
    """Two metrics of one run on a seen and an unseen test set at start and best."""
    rows = [
        {
            "run": "llama-cd",
            "checkpoint": checkpoint,
            "dataset": dataset,
            "kind": "extractive_qa",
            "role": role,
            "metric": metric,
            "scorer": "lexical",
            "n_seeds": 3,
            "n": 100.0,
            "n_failed": 0.0,
            "mean": level,
            "sd": 0.1,
            "low": level - 0.1,
            "high": level + 0.1,
            "seed_values": "",
            "note": None,
        }
        for metric in ("span_coverage", "exact_match")
        for dataset, role in (("nq", "seen"), ("bioasq", "unseen"))
        for checkpoint, level in (("start", 0.5), ("best", 0.7))
    ]
    return pd.DataFrame(rows)


@pytest.fixture
def claims() -> pd.DataFrame:
    """A claim that is supported, one that is not told, and one that could not be tested."""
    shared = {"contrast": 1, "quantity": "overall", "margin": None, "note": None, "n_seeds": 3}
    shared |= {"statement": "It helps.", "family": "reset", "of": "a best", "minus": "b best"}
    shared |= {"sd": 0.01, "p_holm": 0.01, "mde": 0.1, "reason": None}
    found = {"effect": 0.2, "low": 0.1, "high": 0.3}
    nothing = dict.fromkeys((*found, "sd", "p_holm", "mde")) | {"reason": "no scores"}
    rows = [
        shared | found | {"claim": "helps", "expect": "higher", "verdict": "supported"},
        shared | found | {"claim": "same", "expect": "equal", "margin": 0.02}
        | {"verdict": "inconclusive", "reason": "not told from chance at this size"},
        shared | nothing | {"claim": "lost", "expect": "lower", "verdict": "untested"}
        | {"note": "no scores"},
    ]  # fmt: skip
    return pd.DataFrame(rows)
