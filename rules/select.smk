# The rows that continued fine-tuning sees.


rule select_samples:
    """Keep one response of each example by the weighted score, until every set is full."""
    input:
        samples=selection_pool,
        pool=selection_mixture,
        scores=selection_scores,
        tokenizer_files=selection_tokenizer_files,
    output:
        selected="<results>/selected/{selection}/seed-{seed}.parquet",
        ledger="<results>/selected/{selection}/seed-{seed}.ledger.csv",
    log:
        "<logs>/select_samples/{selection}/seed-{seed}.log",
    benchmark:
        "<benchmarks>/select_samples/{selection}/seed-{seed}.jsonl"
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=8000,
        runtime=30,
    params:
        selection="{selection}",
        spec=selection_entry,
        judge=lambda wildcards: selection_entry(wildcards)["judge"],
        faithfulness=config["faithfulness"],
        task=config["task"],
        tokenizer_path=selection_tokenizer_path,
        max_length=config["prompt"]["max_length"],
        seed=lambda wildcards: int(wildcards.seed),
    script:
        "../scripts/select_samples.py"
