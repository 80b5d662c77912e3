"""The script of every rule of toy.smk: small files with known content, by the rule's name."""

import hashlib
import json
from pathlib import Path

import pandas as pd

from reset_tuning.jobs import run
from reset_tuning.scoring.table import scored, write_scores
from reset_tuning.tables import write_table

KINDS = {"nq": "extractive_qa", "koala_eval": "instruction"}


def fetch_raw(*, manifest: Path, dataset: str) -> None:
    raw = manifest.with_name("raw.jsonl")
    raw.write_text(f"raw rows of {dataset}\n")
    digest = hashlib.sha256(raw.read_bytes()).hexdigest()
    files = [{"path": raw.name, "split": "test", "sha256": digest, "bytes": raw.stat().st_size}]
    manifest.write_text(json.dumps({"dataset": dataset, "source": "here", "files": files}))


def prepare_split(*, manifest: Path, examples: Path, dataset: str) -> None:
    row = {
        "example_id": f"{dataset}-{examples.stem}",
        "dataset": dataset,
        "kind": KINDS[dataset],
        "instruction": None if dataset == "nq" else "Say hello.",
        "context": "Oslo is a city." if dataset == "nq" else None,
        "question": "Which city?" if dataset == "nq" else None,
        "references": ["Oslo"],
        "source_row": "raw.jsonl:1",
    }
    write_table(pd.DataFrame([row]), examples, "example")


def train(*, train: Path, base: Path, model: Path, provenance: Path, **params) -> None:
    model.write_text(f"weights of seed {params['seed']}")
    provenance.write_text(json.dumps({"training": {"gpu_seconds": 12.5}}))


def generate_outputs(*, model: Path, examples: list[Path], generations: Path) -> None:
    rows = [
        _point(generations)
        | {
            "decoding": "greedy",
            "example_id": f"{dataset}-test",
            "sample_id": 0,
            "dataset": dataset,
        }
        | {"arm": "greedy", "round": 0, "temperature": 0.0, "top_k": 0, "sampling_seed": 0}
        | {"multiplicity": 1, "output": "Oslo", "n_tokens": 1, "finish_reason": "stop"}
        for dataset in KINDS
    ]
    write_table(pd.DataFrame(rows), generations, "generation")


def query_judge(*, outputs: Path, judgments: Path) -> None:
    rows = pd.read_parquet(outputs)[
        ["run", "seed", "checkpoint", "decoding", "example_id", "sample_id"]
    ]
    said = {
        "judge": "gpt-4",
        "model": "gpt-4-0613",
        "fingerprint": "fp_1",
        "reply": "Rating: [[7]]",
    }
    # One reply for both seeds: their answers are equal, so it is paid once.
    said |= {"request": "hello", "finish_reason": "stop", "error": None}
    rows = rows[rows["example_id"] == "koala_eval-test"].assign(**said)
    write_table(rows.assign(prompt_tokens=1000, completion_tokens=100), judgments, "judgment")


def parse_judgments(*, judgments: Path, scores: Path, scorer: str) -> None:
    rows = pd.read_parquet(judgments)
    write_scores(
        scores, rows, {"instruction_following": [scored(0.5)]}, scorer, {"scale": "ninths"}
    )


def score_outputs(*, outputs: Path, scores: Path, scorer: str) -> None:
    rows = pd.read_parquet(outputs).query("dataset == 'nq'")
    values = {"span_coverage": [scored(1.0)], "exact_match": [scored(0.0)]}
    write_scores(scores, rows, values, scorer, {"kind": "lexical"})


def collect_scores(*, scores: list[Path], table: Path) -> None:
    rows = pd.concat([pd.read_parquet(path) for path in scores])
    rows["dataset"] = rows["example_id"].str.removesuffix("-test")
    rows["kind"] = rows["dataset"].map(KINDS)
    rows["role"] = rows["dataset"].map({"nq": "seen", "koala_eval": "unseen"})
    columns = ["run", "seed", "checkpoint", "dataset", "kind", "role", "metric", "scorer"]
    rows.assign(mean=rows["value"], n=1)[[*columns, "mean", "n"]].to_csv(table, index=False)


def tabulate_main(*, scores: Path, table: Path, judge: str) -> None:
    table.write_text(
        "label,run,checkpoint,n_seeds,instruction_following,instruction_following_sd,"
        "faithfulness_seen,faithfulness_seen_sd,faithfulness_seen_n,faithfulness,overall\n"
        "Vicuna-7B,vicuna-7b,start,1,0.5,,1,,1,1,0.75\n"
        "w/ MTL,mtl,best,2,0.5,0,1,0,1,1,0.75\n"
    )


def _point(path: Path) -> dict:
    return {
        "run": path.parent.parent.name,
        "seed": int(path.parent.name.removeprefix("seed-")),
        "checkpoint": path.stem,
    }


if __name__ == "__main__":
    run(globals()[snakemake.rule], snakemake)
