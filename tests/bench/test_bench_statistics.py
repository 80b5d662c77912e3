"""All tables, claims and figures of 10 systems x 3 seeds x 9 test sets x 1,000 examples."""

import resource
import time

import numpy as np
import pandas as pd
import yaml

from helpers import ROOT
from reset_tuning.figures.claims import draw_claims
from reset_tuning.figures.plane import draw_plane
from reset_tuning.figures.style import save_figure
from reset_tuning.stats.averages import Headlines
from reset_tuning.stats.bootstrap import Bootstrap
from reset_tuning.stats.cells import averages_table, cells_table
from reset_tuning.stats.claims import Evaluated, claims_table
from reset_tuning.stats.length_splits import length_split_table
from reset_tuning.stats.panels import read_panels
from reset_tuning.stats.systems import main_table, tradeoff_table
from reset_tuning.tables import write_table

N_EXAMPLES = 1000
SETS = {f"instruction_{i}": "instruction" for i in range(3)}
SETS |= {f"extractive_{i}": "extractive_qa" for i in range(3)}
SETS |= {
    "abstractive": "abstractive_qa",
    "summary_0": "summarization",
    "summary_1": "summarization",
}
COVERAGES = ("span_coverage", "span_coverage_tokens", "unigram_coverage", "bigram_coverage")
METRICS = {
    "instruction": [("instruction_following", "gpt-4"), ("rating_over_ten", "gpt-4")],
    "extractive_qa": [(name, "lexical") for name in (*COVERAGES, "exact_match")],
    "summarization": [("summac_zs_entailment", "summac-zs"), ("summac_zs", "summac-zs"),
                      ("rouge_l", "rouge-l")],
}  # fmt: skip
METRICS["abstractive_qa"] = METRICS["summarization"]


def synthetic(config: dict) -> tuple[pd.DataFrame, list[dict]]:
    """Scores of every system that the claims and tables name."""
    generator = np.random.default_rng(1)
    runs = [name for name, run in config["runs"].items() if run.get("group", "paper") == "paper"]
    frames, points = [], []
    evaluations = [(run, seed, "best") for run in runs for seed in (1, 2, 3)]
    for run, seed, checkpoint in [*evaluations, ("vicuna-7b", 0, "start")]:
        for name, kind in SETS.items():
            ids = [f"{name}-{i:04d}" for i in range(N_EXAMPLES)]
            for metric, scorer in [*METRICS[kind], ("n_tokens", "generation")]:
                scale = 100 if metric == "n_tokens" else 1
                frames.append(pd.DataFrame({"example_id": ids}).assign(
                    run=run, seed=seed, checkpoint=checkpoint, dataset=name, kind=kind,
                    role="seen" if name.endswith("0") else "unseen", metric=metric, scorer=scorer,
                    value=generator.random(N_EXAMPLES) * scale, status="ok",
                ))  # fmt: skip
    for run, seed, checkpoint in [*evaluations, ("vicuna-7b", 0, "start")]:
        here = [run, seed, checkpoint]
        points.append(here + here)
    for run, seed, _ in evaluations:
        source = ["llama-cd", seed, "best"] if run == "llama-cd-if" else ["vicuna-7b", 0, "start"]
        points += [[run, seed, "start", *source], [run, seed, "last", run, seed, "best"]]
    names = ["run", "seed", "checkpoint", "source_run", "source_seed", "source_checkpoint"]
    return pd.concat(frames, ignore_index=True), [dict(zip(names, p, strict=True)) for p in points]


def test_tables_claims_and_figures_of_a_whole_paper(tmp_path) -> None:
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    rows, points = synthetic(config)
    path = tmp_path / "example_scores.parquet"
    write_table(rows, path, "example_score")
    headlines = Headlines("gpt-4", config["faithfulness"], config["task"])
    settings = Bootstrap(draws=10_000)
    started, cpu = time.perf_counter(), time.process_time()
    panels = read_panels([path], points)
    cells, averages = (
        cells_table(panels, settings),
        averages_table(panels, headlines, settings),
    )
    tradeoffs = config["tables"]["tradeoffs"]
    tables = {
        "cells": cells,
        "averages": averages,
        "main_table": main_table(averages, cells, config["tables"]["main"], headlines),
        "tradeoff": tradeoff_table(panels, tradeoffs, headlines, settings),
        "length_split": length_split_table(panels, tradeoffs, headlines, settings),
        "claims": claims_table(config["claims"], Evaluated(panels, headlines), settings, 0.8),
    }
    for name, table in tables.items():
        write_table(table, tmp_path / f"{name}.csv", name)
    figures = (draw_plane(averages, config["tables"]["main"], []), draw_claims(tables["claims"]))
    for number, figure in enumerate(figures):
        save_figure(figure, tmp_path / f"{number}.svg", tmp_path / f"{number}.pdf")
    wall, cpu = time.perf_counter() - started, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    print(f"\n{len(rows)} scores: {wall:.1f} s, {cpu:.1f} CPU s, peak {peak:.2f} GiB")
    assert cpu <= 120  # 60 s on two cores
    assert peak <= 2
