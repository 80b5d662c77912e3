# The rows that continued fine-tuning sees.


localrules:
    tabulate_what_if,


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
        mem_mb=memory_mb(8000),
        runtime=minutes(30),
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


rule tabulate_what_if:
    """Choose again from the stored pools under other weights, judges and metrics, without a call."""
    input:
        pools=lambda wildcards: what_if_pools(),
        scores=lambda wildcards: what_if_scores(),
        tokenizer_files=lambda wildcards: what_if_tokenizer_files(),
    output:
        changes=report(
            "<results>/metrics/what_if.csv",
            caption="../report/what_if.rst",
            category="ReSet",
            labels={"what": "what if selection weighed otherwise", "as": "CSV"},
        ),
        margins="<results>/metrics/selection_margins.csv",
        settings="<results>/metrics/selection_settings.csv",
    log:
        "<logs>/tabulate_what_if.log",
    benchmark:
        "<benchmarks>/tabulate_what_if.jsonl"
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=8000,
        runtime=60,
    params:
        selections=lambda wildcards: what_if_selections(),
        faithfulness=config["faithfulness"],
        task=config["task"],
        max_length=config["prompt"]["max_length"],
    script:
        "../scripts/tabulate_what_if.py"
