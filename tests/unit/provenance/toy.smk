# A run in small: real jobs of real rules, so that Snakemake's own records are what the tests read.
RUNS = [("mtl", 1), ("mtl", 2), ("vicuna-7b", 0)]
TAILS = [f"{run}/seed-{seed}/{'best' if seed else 'start'}" for run, seed in RUNS]
R, L, B = "results/toy", "results/toy/logs", "results/toy/benchmarks"


rule all:
    input:
        f"{R}/manifest.json",


rule fetch_raw:
    output:
        manifest=f"{R}/raw/{{dataset}}/manifest.json",
    log:
        f"{L}/fetch_raw/{{dataset}}.log",
    benchmark:
        f"{B}/fetch_raw/{{dataset}}.jsonl"
    params:
        dataset="{dataset}",
    script:
        "make.py"


rule prepare_split:
    input:
        manifest=f"{R}/raw/{{dataset}}/manifest.json",
    output:
        examples=f"{R}/data/{{dataset}}/{{split}}.parquet",
    log:
        f"{L}/prepare_split/{{dataset}}.{{split}}.log",
    benchmark:
        f"{B}/prepare_split/{{dataset}}.{{split}}.jsonl"
    params:
        dataset="{dataset}",
    script:
        "make.py"


rule train:
    input:
        train=f"{R}/data/nq/train.parquet",
        base="resources/base.safetensors",
    output:
        model=f"{R}/checkpoints/{{run}}/seed-{{seed}}/best/model.safetensors",
        provenance=f"{R}/checkpoints/{{run}}/seed-{{seed}}/provenance.json",
    log:
        f"{L}/train/{{run}}/seed-{{seed}}.log",
    benchmark:
        f"{B}/train/{{run}}/seed-{{seed}}.jsonl"
    params:
        learning_rate=0.001,
        seed=lambda wildcards: int(wildcards.seed),
    script:
        "make.py"


def weights(wildcards):
    if wildcards.run == "vicuna-7b":
        return "resources/base.safetensors"
    return f"{R}/checkpoints/{wildcards.run}/seed-{wildcards.seed}/best/model.safetensors"


rule generate_outputs:
    input:
        model=weights,
        examples=[f"{R}/data/nq/test.parquet", f"{R}/data/koala_eval/test.parquet"],
    output:
        generations=f"{R}/generations/{{run}}/seed-{{seed}}/{{checkpoint}}.parquet",
    log:
        f"{L}/generate_outputs/{{run}}/seed-{{seed}}/{{checkpoint}}.log",
    benchmark:
        f"{B}/generate_outputs/{{run}}/seed-{{seed}}/{{checkpoint}}.jsonl"
    script:
        "make.py"


rule query_judge:
    input:
        outputs=f"{R}/generations/{{run}}/seed-{{seed}}/{{checkpoint}}.parquet",
    output:
        judgments=f"{R}/judgments/generations/{{run}}/seed-{{seed}}/{{checkpoint}}/gpt-4.raw.parquet",
    log:
        f"{L}/query_judge/{{run}}/seed-{{seed}}/{{checkpoint}}/gpt-4.log",
    benchmark:
        f"{B}/query_judge/{{run}}/seed-{{seed}}/{{checkpoint}}/gpt-4.jsonl"
    script:
        "make.py"


rule parse_judgments:
    input:
        judgments=f"{R}/judgments/generations/{{run}}/seed-{{seed}}/{{checkpoint}}/gpt-4.raw.parquet",
    output:
        scores=f"{R}/scores/generations/{{run}}/seed-{{seed}}/{{checkpoint}}/gpt-4.parquet",
    log:
        f"{L}/parse_judgments/{{run}}/seed-{{seed}}/{{checkpoint}}/gpt-4.log",
    benchmark:
        f"{B}/parse_judgments/{{run}}/seed-{{seed}}/{{checkpoint}}/gpt-4.jsonl"
    params:
        scorer="gpt-4",
    script:
        "make.py"


rule score_outputs:
    input:
        outputs=f"{R}/generations/{{run}}/seed-{{seed}}/{{checkpoint}}.parquet",
    output:
        scores=f"{R}/scores/generations/{{run}}/seed-{{seed}}/{{checkpoint}}/lexical.parquet",
    log:
        f"{L}/score_outputs/{{run}}/seed-{{seed}}/{{checkpoint}}/lexical.log",
    benchmark:
        f"{B}/score_outputs/{{run}}/seed-{{seed}}/{{checkpoint}}/lexical.jsonl"
    params:
        scorer="lexical",
    script:
        "make.py"


rule collect_scores:
    input:
        scores=expand(f"{R}/scores/generations/{{tail}}/{{scorer}}.parquet", tail=TAILS, scorer=["gpt-4", "lexical"]),
    output:
        table=f"{R}/metrics/scores.csv",
    log:
        f"{L}/collect_scores.log",
    benchmark:
        f"{B}/collect_scores.jsonl"
    script:
        "make.py"


rule tabulate_main:
    input:
        scores=f"{R}/metrics/scores.csv",
    output:
        table=f"{R}/metrics/main_table.csv",
    log:
        f"{L}/tabulate_main.log",
    benchmark:
        f"{B}/tabulate_main.jsonl"
    params:
        judge="gpt-4",
    script:
        "make.py"


rule write_manifest:
    input:
        files=[
            *expand(f"{R}/raw/{{dataset}}/manifest.json", dataset=["nq", "koala_eval"]),
            *expand(f"{R}/data/{{name}}.parquet", name=["nq/train", "nq/test", "koala_eval/test"]),
            *expand(f"{R}/checkpoints/mtl/seed-{{seed}}/{{name}}", seed=[1, 2], name=["best/model.safetensors", "provenance.json"]),
            *expand(f"{R}/generations/{{tail}}.parquet", tail=TAILS),
            *expand(f"{R}/judgments/generations/{{tail}}/gpt-4.raw.parquet", tail=TAILS),
            *expand(f"{R}/scores/generations/{{tail}}/{{scorer}}.parquet", tail=TAILS, scorer=["gpt-4", "lexical"]),
            f"{R}/metrics/scores.csv",
            f"{R}/metrics/main_table.csv",
        ],
    output:
        manifest=f"{R}/manifest.json",
    log:
        f"{L}/write_manifest.log",
    benchmark:
        f"{B}/write_manifest.jsonl"
    params:
        experiment="toy",
        sidecar=f"{R}/sidecars/digests",
        evaluation={
            "points": [
                {"run": run, "seed": seed, "checkpoint": at, "source_run": run, "source_seed": seed, "source_checkpoint": at}
                for run, seed in RUNS
                for at in ("best" if seed else "start",)
            ],
            "judge": "gpt-4",
            "faithfulness": {"extractive_qa": "span_coverage"},
            "task": {"extractive_qa": "exact_match"},
        },
        later=["figures/provenance.html"],
    script:
        "SCRIPTS/write_manifest.py"
