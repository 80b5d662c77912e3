# LLM-as-a-Judge: asking and reading the reply are apart, so that a parser's fix costs nothing.


localrules:
    query_judge,
    query_pool_judge,


rule query_judge:
    """Ask the judge to rate every answer to an instruction and keep its replies verbatim."""
    input:
        outputs="<results>/generations/{run}/seed-{seed}/{checkpoint}.parquet",
        examples=test_files,
    output:
        judgments="<results>/judgments/generations/{run}/seed-{seed}/{checkpoint}/{judge}.raw.parquet",
    log:
        "<logs>/query_judge/{run}/seed-{seed}/{checkpoint}/{judge}.log",
    benchmark:
        "<benchmarks>/query_judge/{run}/seed-{seed}/{checkpoint}/{judge}.jsonl"
    conda:
        "../envs/judge.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime="12h",
        concurrency=judge_concurrency,
        records=config["paths"]["records"],
    params:
        judge="{judge}",
        spec=judge_spec,
        prompt=judge_prompt,
    script:
        "../scripts/query_judge.py"


use rule query_judge as query_pool_judge with:
    input:
        outputs="<results>/samples/{run}/seed-{seed}/{decoding}.parquet",
        examples=pool_mixture,
    output:
        judgments="<results>/judgments/samples/{run}/seed-{seed}/{decoding}/{judge}.raw.parquet",
    log:
        "<logs>/query_pool_judge/{run}/seed-{seed}/{decoding}/{judge}.log",
    benchmark:
        "<benchmarks>/query_pool_judge/{run}/seed-{seed}/{decoding}/{judge}.jsonl"


rule parse_judgments:
    """Turn the judge's replies into ratings in [0, 1], or into a named failure."""
    input:
        judgments="<results>/judgments/generations/{run}/seed-{seed}/{checkpoint}/{judge}.raw.parquet",
    output:
        scores="<results>/scores/generations/{run}/seed-{seed}/{checkpoint}/{judge}.parquet",
    log:
        "<logs>/parse_judgments/{run}/seed-{seed}/{checkpoint}/{judge}.log",
    benchmark:
        "<benchmarks>/parse_judgments/{run}/seed-{seed}/{checkpoint}/{judge}.jsonl"
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=15,
    params:
        judge="{judge}",
        scale=judge_scale,
    script:
        "../scripts/parse_judgments.py"


use rule parse_judgments as parse_pool_judgments with:
    input:
        judgments="<results>/judgments/samples/{run}/seed-{seed}/{decoding}/{judge}.raw.parquet",
    output:
        scores="<results>/scores/samples/{run}/seed-{seed}/{decoding}/{judge}.parquet",
    log:
        "<logs>/parse_pool_judgments/{run}/seed-{seed}/{decoding}/{judge}.log",
    benchmark:
        "<benchmarks>/parse_pool_judgments/{run}/seed-{seed}/{decoding}/{judge}.jsonl"
