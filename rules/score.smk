# Metrics computed from the text: span coverage and exact match, ROUGE-L, SummaC-ZS, classifiers.


rule score_outputs:
    """Compare every answer with its context and its references."""
    input:
        outputs="<results>/generations/{run}/seed-{seed}/{checkpoint}.parquet",
        examples=test_files,
    output:
        scores="<results>/scores/generations/{run}/seed-{seed}/{checkpoint}/{metric}.parquet",
    log:
        "<logs>/score_outputs/{run}/seed-{seed}/{checkpoint}/{metric}.log",
    benchmark:
        "<benchmarks>/score_outputs/{run}/seed-{seed}/{checkpoint}/{metric}.jsonl"
    wildcard_constraints:
        metric=metrics_of("lexical", "rouge"),
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=memory_mb(4000),
        runtime=minutes(60),
    params:
        metric="{metric}",
        spec=metric_spec,
    script:
        "../scripts/score_outputs.py"


use rule score_outputs as score_pool with:
    input:
        outputs="<results>/samples/{run}/seed-{seed}/{decoding}.parquet",
        examples=pool_mixture,
    output:
        scores="<results>/scores/samples/{run}/seed-{seed}/{decoding}/{metric}.parquet",
    log:
        "<logs>/score_pool/{run}/seed-{seed}/{decoding}/{metric}.log",
    benchmark:
        "<benchmarks>/score_pool/{run}/seed-{seed}/{decoding}/{metric}.jsonl"


use rule score_outputs as score_entailment with:
    input:
        outputs="<results>/generations/{run}/seed-{seed}/{checkpoint}.parquet",
        examples=test_files,
        model=nli_files,
    log:
        "<logs>/score_entailment/{run}/seed-{seed}/{checkpoint}/{metric}.log",
    benchmark:
        "<benchmarks>/score_entailment/{run}/seed-{seed}/{checkpoint}/{metric}.jsonl"
    wildcard_constraints:
        metric=metrics_of("summac", "classifier"),
    conda:
        "../envs/judge.yaml"
    threads: 4
    resources:
        gpu=1,
        nodes=1,
        mem_mb=memory_mb(32000),
        runtime=minutes(240),
        batch_size=metric_means("batch_size"),
        batch_tokens=metric_means("batch_tokens"),
        cpu_ranks=config["launch"]["cpu_ranks"],
    params:
        metric="{metric}",
        spec=metric_spec,
        sidecar=in_results("sidecars/scores"),


use rule score_entailment as score_pool_entailment with:
    input:
        outputs="<results>/samples/{run}/seed-{seed}/{decoding}.parquet",
        examples=pool_mixture,
        model=nli_files,
    output:
        scores="<results>/scores/samples/{run}/seed-{seed}/{decoding}/{metric}.parquet",
    log:
        "<logs>/score_pool_entailment/{run}/seed-{seed}/{decoding}/{metric}.log",
    benchmark:
        "<benchmarks>/score_pool_entailment/{run}/seed-{seed}/{decoding}/{metric}.jsonl"
    resources:
        gpu=1,
        nodes=1,
        mem_mb=memory_mb(32000),
        runtime=minutes(720),
        batch_size=metric_means("batch_size"),
        batch_tokens=metric_means("batch_tokens"),
        cpu_ranks=config["launch"]["cpu_ranks"],


localrules:
    export_failures,
    tabulate_failures,


rule export_failures:
    """Draw failed extractive answers for people to label, without saying whose they are."""
    input:
        outputs=generation_files(),
        examples=test_files,
    output:
        sheet="<results>/labels/failures.csv",
        key="<results>/labels/failures.key.csv",
    log:
        "<logs>/export_failures.log",
    benchmark:
        "<benchmarks>/export_failures.jsonl"
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=15,
    params:
        per_system=config["failure_analysis"]["per_system"],
        seed=config["failure_analysis"]["seed"],
        unicode=any(entry.get("unicode", False) for entry in config["metrics"].values()),
    script:
        "../scripts/export_failures.py"


rule tabulate_failures:
    """Count why extractive answers fail, from the returned sheets or the machine's guesses."""
    input:
        key="<results>/labels/failures.key.csv",
        returned=config["failure_analysis"].get("returned", []),
    output:
        table=report(
            "<results>/metrics/failure_modes.csv",
            caption="../report/failure_modes.rst",
            category="Main results",
            labels={"what": "why extractive answers fail", "as": "CSV"},
        ),
        labels="<results>/labels/failures.labelled.csv",
    log:
        "<logs>/tabulate_failures.log",
    benchmark:
        "<benchmarks>/tabulate_failures.jsonl"
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=5,
    script:
        "../scripts/tabulate_failures.py"
