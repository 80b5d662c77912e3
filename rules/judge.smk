# LLM-as-a-Judge: asking and reading the reply are apart, so that a parser's fix costs nothing.


# Compute nodes often have no internet, so judges are asked from where Snakemake runs. Those whose
# server the job starts have rules of their own, which do run on compute nodes: two, since a profile
# sends a rule to nodes with GPUs or to others. Reading the replies is a second's work: on a cluster
# it would spend more time waiting for a node.
localrules:
    query_judge,
    query_pool_judge,
    parse_judgments,
    parse_pool_judgments,
    tabulate_judge_cost,
    tabulate_judge_drift,


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
    wildcard_constraints:
        judge=judges_at("an address"),
    conda:
        "../envs/judge.yaml"
    threads: 1
    resources:
        gpu=judge_gpus,
        nodes=1,
        mem_mb=judge_memory,
        runtime=minutes(2880),
        records=config["paths"]["records"],
        api_key_variable=judge_means("api_key_variable"),
        ready_minutes=judge_means("ready_minutes"),
        concurrency=judge_means("concurrency"),
        mode=judge_means("mode"),
        canaries=judge_means("canaries"),
        max_budget=judge_means("max_budget"),
        max_failure_share=judge_means("max_failure_share"),
        requests_per_minute=judge_means("requests_per_minute"),
        tokens_per_minute=judge_means("tokens_per_minute"),
        prompt_price=judge_price("prompt"),
        completion_price=judge_price("completion"),
        batch_discount=judge_price("batch_discount"),
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


use rule query_judge as query_judge_served with:
    wildcard_constraints:
        judge=judges_at("GPUs of the job"),


use rule query_judge as query_judge_served_on_cpu with:
    wildcard_constraints:
        judge=judges_at("CPUs of the job"),


use rule query_pool_judge as query_pool_judge_served with:
    wildcard_constraints:
        judge=judges_at("GPUs of the job"),


use rule query_pool_judge as query_pool_judge_served_on_cpu with:
    wildcard_constraints:
        judge=judges_at("CPUs of the job"),


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
        max_failure_share=judge_means("max_failure_share"),
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


rule tabulate_judge_cost:
    """Count the replies behind the tables, their tokens and their dollars."""
    input:
        generations=lambda wildcards: judgment_files(),
        samples=lambda wildcards: pool_judgment_files(),
    output:
        table=report(
            "<results>/metrics/judge_cost.csv",
            caption="../report/judge_cost.rst",
            category="Judges",
            labels={"what": "cost of the judges", "as": "CSV"},
        ),
    log:
        "<logs>/tabulate_judge_cost.log",
    benchmark:
        "<benchmarks>/tabulate_judge_cost.jsonl"
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=15,
    params:
        prices=judge_prices(),
    script:
        "../scripts/tabulate_judge_cost.py"


rule tabulate_judge_drift:
    """Compare the first and the last ratings of the canaries."""
    input:
        judgments=lambda wildcards: judgment_files() + pool_judgment_files(),
    output:
        table=report(
            "<results>/metrics/judge_drift.csv",
            caption="../report/judge_drift.rst",
            category="Judges",
            labels={"what": "drift of the judges", "as": "CSV"},
        ),
    log:
        "<logs>/tabulate_judge_drift.log",
    benchmark:
        "<benchmarks>/tabulate_judge_drift.jsonl"
    conda:
        "../envs/judge.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=15,
        records=config["paths"]["records"],
    params:
        judges=used_judges(),
    script:
        "../scripts/tabulate_judge_drift.py"
