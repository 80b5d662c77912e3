# Judges and metrics beside people, on public labels below $RESET_RAW_DIR (target validation).


localrules:
    validation,
    validate_judging,
    validate_judge,


rule validation:
    """The parser, GPT-4 and the faithfulness metrics on public human labels; not part of `all`."""
    input:
        "<results>/validation/judge_parsing.csv",
        "<results>/validation/faithfulness.csv",
        [f"<results>/validation/{metric}.options.csv" for metric in summac_metrics()],


rule validate_judging:
    """Compare the parser with stored ratings of real replies, and GPT-4 and people with people."""
    output:
        parsing=report(
            "<results>/validation/judge_parsing.csv",
            caption="../report/judge_parsing.rst",
            category="Judges",
            labels={"what": "the parser on real replies", "as": "CSV"},
        ),
        agreement=report(
            "<results>/validation/judge_agreement.csv",
            caption="../report/judge_agreement.rst",
            category="Judges",
            labels={"what": "judges and people", "as": "CSV"},
        ),
    log:
        "<logs>/validate_judging.log",
    benchmark:
        "<benchmarks>/validate_judging.jsonl"
    conda:
        "../envs/judge.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=15,
        folder=labels_folder("llm_judge"),
    script:
        "../scripts/validate_judging.py"


rule validate_judge:
    """Ask a judge about answers that people have compared, and count how often it agrees."""
    output:
        table="<results>/validation/judge-{judge}.csv",
    log:
        "<logs>/validate_judge/{judge}.log",
    benchmark:
        "<benchmarks>/validate_judge/{judge}.jsonl"
    wildcard_constraints:
        judge=judges_at("an address"),
    conda:
        "../envs/judge.yaml"
    threads: 1
    resources:
        gpu=judge_gpus,
        nodes=1,
        mem_mb=judge_memory,
        runtime=minutes(720),
        folder=labels_folder("llm_judge"),
        records=config["paths"]["records"],
        api_key_variable=judge_means("api_key_variable"),
        ready_minutes=judge_means("ready_minutes"),
        concurrency=judge_means("concurrency"),
        mode=judge_means("mode"),
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
        "../scripts/validate_judge.py"


use rule validate_judge as validate_judge_served with:
    wildcard_constraints:
        judge=judges_at("GPUs of the job"),


use rule validate_judge as validate_judge_served_on_cpu with:
    wildcard_constraints:
        judge=judges_at("CPUs of the job"),


rule validate_faithfulness:
    """Compare the faithfulness metrics with public human labels."""
    output:
        table=report(
            "<results>/validation/faithfulness.csv",
            caption="../report/faithfulness_validation.rst",
            category="Judges",
            labels={"what": "faithfulness metrics and people", "as": "CSV"},
        ),
    log:
        "<logs>/validate_faithfulness.log",
    benchmark:
        "<benchmarks>/validate_faithfulness.jsonl"
    conda:
        "../envs/judge.yaml"
    threads: 4
    resources:
        gpu=1,
        nodes=1,
        mem_mb=memory_mb(32000),
        runtime=minutes(480),
        folder=labels_folder("faithfulness_human"),
        sidecar=in_results("sidecars/scores"),
        batch_size=least_means("batch_size"),
        batch_tokens=least_means("batch_tokens"),
    params:
        metrics=faithfulness_metrics(),
        max_rows=config.get("validation", {}).get("max_rows"),
    script:
        "../scripts/validate_faithfulness.py"


rule validate_options:
    """Show what each of SummaC's options does to its scores, on public human labels."""
    output:
        table=report(
            "<results>/validation/{metric}.options.csv",
            caption="../report/summac_options.rst",
            category="Judges",
            labels={"what": "options of SummaC", "as": "CSV"},
        ),
    log:
        "<logs>/validate_options/{metric}.log",
    benchmark:
        "<benchmarks>/validate_options/{metric}.jsonl"
    wildcard_constraints:
        metric=any_of(summac_metrics()),
    conda:
        "../envs/judge.yaml"
    threads: 4
    resources:
        gpu=1,
        nodes=1,
        mem_mb=memory_mb(32000),
        runtime=minutes(1440),
        folder=labels_folder("faithfulness_human"),
        sidecar=in_results("sidecars/scores"),
        batch_size=metric_means("batch_size"),
        batch_tokens=metric_means("batch_tokens"),
    params:
        spec=metric_spec,
        models=config.get("validation", {}).get("models", []),
        max_rows=config.get("validation", {}).get("max_rows"),
    script:
        "../scripts/validate_options.py"
