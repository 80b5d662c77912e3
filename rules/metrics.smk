# Tables of results.


localrules:
    collect_scores,
    tabulate_main,
    tabulate_tradeoffs,
    tabulate_trajectories,
    tabulate_lengths,
    collect_ledger,


rule collect_scores:
    """Average every metric per checkpoint and test set, with the rows that failed beside it."""
    input:
        scores=score_files(),
        generations=generation_files(),
        examples=test_files,
    output:
        table=report(
            "<results>/metrics/scores.csv",
            caption="../report/scores.rst",
            category="Tables",
            labels={"table": "scores by test set"},
        ),
    log:
        "<logs>/collect_scores.log",
    benchmark:
        "<benchmarks>/collect_scores.jsonl"
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=15,
    params:
        seen=experiment.seen_datasets,
    script:
        "../scripts/collect_scores.py"


rule tabulate_main:
    """Make the main table: the systems of the paper in its order, means over seeds."""
    input:
        scores="<results>/metrics/scores.csv",
    output:
        table=report(
            "<results>/metrics/main_table.csv",
            caption="../report/main_table.rst",
            category="Tables",
            labels={"table": "main table"},
        ),
    log:
        "<logs>/tabulate_main.log",
    benchmark:
        "<benchmarks>/tabulate_main.jsonl"
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=5,
    params:
        systems=config["tables"]["main"],
        points=experiment.point_records(),
        faithfulness=config["faithfulness"],
        task=config["task"],
        judge=config["evaluation"]["judge"],
    script:
        "../scripts/tabulate_main.py"


rule tabulate_tradeoffs:
    """Tabulate both two-stage pipelines before and after."""
    input:
        scores="<results>/metrics/scores.csv",
    output:
        table=report(
            "<results>/metrics/tradeoff.csv",
            caption="../report/tradeoff.rst",
            category="Tables",
            labels={"table": "trade-offs"},
        ),
    log:
        "<logs>/tabulate_tradeoffs.log",
    benchmark:
        "<benchmarks>/tabulate_tradeoffs.jsonl"
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=5,
    params:
        tradeoffs=config["tables"]["tradeoffs"],
        points=experiment.point_records(),
        faithfulness=config["faithfulness"],
        task=config["task"],
        judge=config["evaluation"]["judge"],
    script:
        "../scripts/tabulate_tradeoffs.py"


rule tabulate_trajectories:
    """Join the training histories of all runs."""
    input:
        history=history_files(),
    output:
        table=report(
            "<results>/metrics/trajectories.csv",
            caption="../report/trajectories.rst",
            category="Tables",
            labels={"table": "training trajectories"},
        ),
    log:
        "<logs>/tabulate_trajectories.log",
    benchmark:
        "<benchmarks>/tabulate_trajectories.jsonl"
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=5,
    script:
        "../scripts/tabulate_trajectories.py"


rule tabulate_lengths:
    """Tabulate the lengths of the answers by checkpoint and test set."""
    input:
        generations=generation_files(),
    output:
        table=report(
            "<results>/metrics/lengths.csv",
            caption="../report/lengths.rst",
            category="Tables",
            labels={"table": "answer lengths"},
        ),
    log:
        "<logs>/tabulate_lengths.log",
    benchmark:
        "<benchmarks>/tabulate_lengths.jsonl"
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=5,
    params:
        points=experiment.point_records(),
    script:
        "../scripts/tabulate_lengths.py"


rule collect_ledger:
    """Join every stage's row accounting and prove that rows in = rows out + named drops."""
    input:
        ledgers=ledger_files(),
    output:
        table=report(
            "<results>/metrics/row_ledger.csv",
            caption="../report/row_ledger.rst",
            category="Tables",
            labels={"table": "row ledger"},
        ),
    log:
        "<logs>/collect_ledger.log",
    benchmark:
        "<benchmarks>/collect_ledger.jsonl"
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=5,
    script:
        "../scripts/collect_ledger.py"
