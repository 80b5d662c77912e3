# Greedy outputs for evaluation and the rejection-sampling pool.


rule generate_outputs:
    """Answer every test set greedily with one checkpoint."""
    input:
        model=generating_files,
        examples=test_files,
    output:
        generations="<results>/generations/{run}/seed-{seed}/{checkpoint}.parquet",
    log:
        "<logs>/generate_outputs/{run}/seed-{seed}/{checkpoint}.log",
    benchmark:
        "<benchmarks>/generate_outputs/{run}/seed-{seed}/{checkpoint}.jsonl"
    conda:
        GENERATION_ENVIRONMENT
    threads: 4
    resources:
        **GENERATION_MEANS,
        gpu=GENERATION_GPUS,
        nodes=1,
        mem_mb=memory_mb(64000),
        runtime=minutes(240),
    params:
        run="{run}",
        seed=lambda wildcards: int(wildcards.seed),
        checkpoint="{checkpoint}",
        decoding=config["evaluation"]["decoding"],
        spec=config["decodings"][config["evaluation"]["decoding"]],
        model_path=generating_path,
        dtype=lambda wildcards: root_model(wildcards)["dtype"],
        attention=lambda wildcards: root_model(wildcards)["attention"],
        template=TEMPLATE,
        tasks=TEST_TASKS,
        max_length=config["prompt"]["max_length"],
        backend=GENERATION_BACKEND,
        sidecar=in_results("sidecars/outputs"),
    script:
        "../scripts/generate_outputs.py"


rule sample_outputs:
    """Sample the pool of rejection sampling: every setting of the drawn arm for each example."""
    input:
        model=sampled_files,
        pool=pool_mixture,
    output:
        samples="<results>/samples/{run}/seed-{seed}/{decoding}.parquet",
    log:
        "<logs>/sample_outputs/{run}/seed-{seed}/{decoding}.log",
    benchmark:
        "<benchmarks>/sample_outputs/{run}/seed-{seed}/{decoding}.jsonl"
    conda:
        GENERATION_ENVIRONMENT
    threads: 4
    resources:
        **GENERATION_MEANS,
        gpu=GENERATION_GPUS,
        nodes=1,
        mem_mb=memory_mb(64000),
        runtime=minutes(720),
    params:
        run="{run}",
        seed=lambda wildcards: int(wildcards.seed),
        checkpoint="best",
        decoding="{decoding}",
        spec=decoding_spec,
        model_path=generating_path,
        dtype=lambda wildcards: root_model(wildcards)["dtype"],
        attention=lambda wildcards: root_model(wildcards)["attention"],
        max_length=config["prompt"]["max_length"],
        backend=GENERATION_BACKEND,
        sidecar=in_results("sidecars/outputs"),
    script:
        "../scripts/sample_outputs.py"
