# Tables of results.


localrules:
    collect_scores,
    collect_robustness,
    tabulate_cells,
    tabulate_main,
    tabulate_views,
    tabulate_tradeoffs,
    tabulate_length_bias,
    tabulate_claims,
    tabulate_robustness,
    tabulate_published,
    tabulate_deviations,
    index_paper,
    write_readable,
    tabulate_trajectories,
    tabulate_lengths,
    collect_ledger,


rule collect_scores:
    """Gather every score: means per checkpoint and test set with the rows that failed, and single rows."""
    input:
        scores=score_files(),
        generations=generation_files(),
        examples=test_files,
    output:
        table=report(
            "<results>/metrics/scores.csv",
            caption="../report/scores.rst",
            category="Appendix",
            labels={"what": "scores by test set and seed", "as": "CSV"},
        ),
        rows="<results>/metrics/example_scores.parquet",
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
        order=experiment.datasets_with("test"),
    script:
        "../scripts/collect_scores.py"


rule tabulate_cells:
    """Average over seeds with intervals: every system by test set and metric, and macro-averages."""
    input:
        scores="<results>/metrics/example_scores.parquet",
    output:
        cells=report(
            "<results>/metrics/cells.csv",
            caption="../report/cells.rst",
            category="Appendix",
            labels={"what": "every system, test set and metric", "as": "CSV"},
        ),
        averages=report(
            "<results>/metrics/averages.csv",
            caption="../report/averages.rst",
            category="Appendix",
            labels={"what": "every system's macro-averages", "as": "CSV"},
        ),
    log:
        "<logs>/tabulate_cells.log",
    benchmark:
        "<benchmarks>/tabulate_cells.jsonl"
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=15,
    params:
        points=experiment.point_records(),
        faithfulness=config["faithfulness"],
        task=config["task"],
        judge=config["evaluation"]["judge"],
        bootstrap=BOOTSTRAP,
        strict=config["statistics"]["strict"],
    script:
        "../scripts/tabulate_cells.py"


rule tabulate_main:
    """Make the main table: the systems of the paper in its order."""
    input:
        averages="<results>/metrics/averages.csv",
        cells="<results>/metrics/cells.csv",
    output:
        table=report(
            "<results>/metrics/main_table.csv",
            caption="../report/main_table.rst",
            category="Main results",
            labels={"what": "main table", "as": "CSV"},
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
        faithfulness=config["faithfulness"],
        task=config["task"],
        judge=config["evaluation"]["judge"],
        strict=config["statistics"]["strict"],
    script:
        "../scripts/tabulate_main.py"


rule tabulate_views:
    """Take from all numbers those of checkpoints, of answer lengths and of supplementary metrics."""
    input:
        cells="<results>/metrics/cells.csv",
    output:
        checkpoints=report(
            "<results>/metrics/checkpoint_scores.csv",
            caption="../report/checkpoint_scores.rst",
            category="Trade-off",
            labels={"what": "start, best and last by test set", "as": "CSV"},
        ),
        lengths=report(
            "<results>/metrics/answer_lengths.csv",
            caption="../report/answer_lengths.rst",
            category="Trade-off",
            labels={"what": "answer lengths over seeds", "as": "CSV"},
        ),
        supplementary=report(
            "<results>/metrics/coverage.csv",
            caption="../report/coverage.rst",
            category="Main results",
            labels={"what": "supplementary metrics", "as": "CSV"},
        ),
    log:
        "<logs>/tabulate_views.log",
    benchmark:
        "<benchmarks>/tabulate_views.jsonl"
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=5,
    params:
        runs=experiment.shown_runs(),
        systems=config["tables"]["main"],
        faithfulness=config["faithfulness"],
        task=config["task"],
        judge=config["evaluation"]["judge"],
    script:
        "../scripts/tabulate_views.py"


rule tabulate_tradeoffs:
    """Tabulate both two-stage pipelines before and after, and by length of the answers."""
    input:
        scores="<results>/metrics/example_scores.parquet",
    output:
        table=report(
            "<results>/metrics/tradeoff.csv",
            caption="../report/tradeoff.rst",
            category="Trade-off",
            labels={"what": "trade-offs", "as": "CSV"},
        ),
        length_split=report(
            "<results>/metrics/length_split.csv",
            caption="../report/length_split.rst",
            category="Trade-off",
            labels={"what": "length splits", "as": "CSV"},
        ),
    log:
        "<logs>/tabulate_tradeoffs.log",
    benchmark:
        "<benchmarks>/tabulate_tradeoffs.jsonl"
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=15,
    params:
        tradeoffs=config["tables"]["tradeoffs"],
        points=experiment.point_records(),
        faithfulness=config["faithfulness"],
        task=config["task"],
        judge=config["evaluation"]["judge"],
        bootstrap=BOOTSTRAP,
        strict=config["statistics"]["strict"],
    script:
        "../scripts/tabulate_tradeoffs.py"


rule tabulate_length_bias:
    """Tabulate the ratings of instruction answers by their length."""
    input:
        scores="<results>/metrics/example_scores.parquet",
    output:
        table=report(
            "<results>/metrics/length_bias.csv",
            caption="../report/length_bias.rst",
            category="Judges",
            labels={"what": "ratings by length", "as": "CSV"},
        ),
    log:
        "<logs>/tabulate_length_bias.log",
    benchmark:
        "<benchmarks>/tabulate_length_bias.jsonl"
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=5,
    params:
        judges=experiment.evaluation_judges(),
    script:
        "../scripts/tabulate_length_bias.py"


rule tabulate_claims:
    """Test the claims of the config: effects with intervals, adjusted p-values, verdicts."""
    input:
        scores=["<results>/metrics/example_scores.parquet"],
        failures="<results>/labels/failures.labelled.csv",
    output:
        table=report(
            "<results>/metrics/claims.csv",
            caption="../report/claims.rst",
            category="Claims",
            labels={"what": "claims", "as": "CSV"},
        ),
    log:
        "<logs>/tabulate_claims.log",
    benchmark:
        "<benchmarks>/tabulate_claims.jsonl"
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=15,
    params:
        claims=config["claims"],
        unknown=experiment.claim_holes(["paper"]),
        points=experiment.point_records(),
        faithfulness=config["faithfulness"],
        task=config["task"],
        judge=config["evaluation"]["judge"],
        held_out=config["evaluation"].get("held_out", []),
        bootstrap=BOOTSTRAP,
        power=config["statistics"]["power"],
        strict=config["statistics"]["strict"],
    script:
        "../scripts/tabulate_claims.py"


use rule collect_scores as collect_robustness with:
    input:
        scores=score_files("robustness"),
        generations=generation_files("robustness"),
        examples=test_files,
    output:
        table="<results>/metrics/robustness_scores.csv",
        rows="<results>/metrics/robustness_example_scores.parquet",
    log:
        "<logs>/collect_robustness.log",
    benchmark:
        "<benchmarks>/collect_robustness.jsonl"


use rule tabulate_claims as tabulate_robustness with:
    input:
        scores=[
            "<results>/metrics/example_scores.parquet",
            "<results>/metrics/robustness_example_scores.parquet",
        ],
        failures="<results>/labels/failures.labelled.csv",
    output:
        table="<results>/metrics/robustness_claims.csv",
    log:
        "<logs>/tabulate_robustness.log",
    benchmark:
        "<benchmarks>/tabulate_robustness.jsonl"
    params:
        claims=experiment.claims_about("robustness"),
        unknown=experiment.claim_holes(["paper", "robustness"]),
        points=experiment.point_records() + experiment.point_records("robustness"),


rule tabulate_published:
    """Set the paper's known numbers beside those of this run."""
    input:
        published="resources/published.csv",
        averages="<results>/metrics/averages.csv",
    output:
        table=report(
            "<results>/metrics/published_vs_measured.csv",
            caption="../report/published_vs_measured.rst",
            category="Main results",
            labels={"what": "published and measured", "as": "CSV"},
        ),
    log:
        "<logs>/tabulate_published.log",
    benchmark:
        "<benchmarks>/tabulate_published.jsonl"
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=5,
    params:
        systems=config["tables"]["main"],
        models=system_models(),
    script:
        "../scripts/tabulate_published.py"


rule tabulate_deviations:
    """List the paper's oddities and the assumed values with what this run used."""
    output:
        table=report(
            "<results>/metrics/deviations.csv",
            caption="../report/deviations.rst",
            category="Main results",
            labels={"what": "deviations", "as": "CSV"},
        ),
    log:
        "<logs>/tabulate_deviations.log",
    benchmark:
        "<benchmarks>/tabulate_deviations.jsonl"
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=5,
    params:
        rows=deviations,
    script:
        "../scripts/tabulate_deviations.py"


rule index_paper:
    """Map each figure, table and prompt of the paper to the file that shows it."""
    input:
        files=indexed_files,
    output:
        table=report(
            "<results>/metrics/paper_index.csv",
            caption="../report/paper_index.rst",
            category="Appendix",
            labels={"what": "where the paper's figures and tables are", "as": "CSV"},
        ),
    log:
        "<logs>/index_paper.log",
    benchmark:
        "<benchmarks>/index_paper.jsonl"
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=5,
    params:
        entries=PAPER_INDEX,
    script:
        "../scripts/index_paper.py"


rule write_readable:
    """Write the tables as Markdown and LaTeX beside them."""
    input:
        tables=table_paths(READABLE_TABLES),
    output:
        markdown=readable_paths(READABLE_TABLES, "md"),
        latex=readable_paths(READABLE_TABLES, "tex"),
    log:
        "<logs>/write_readable.log",
    benchmark:
        "<benchmarks>/write_readable.jsonl"
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=5,
    params:
        titles=READABLE_TABLES,
        unseen=experiment.unseen_datasets,
    script:
        "../scripts/write_readable.py"


rule tabulate_trajectories:
    """Join the training histories of all runs."""
    input:
        history=history_files(),
    output:
        table=report(
            "<results>/metrics/trajectories.csv",
            caption="../report/trajectories.rst",
            category="Training",
            labels={"what": "training trajectories", "as": "CSV"},
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
            category="Appendix",
            labels={"what": "answer lengths by seed", "as": "CSV"},
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
            category="Data",
            labels={"what": "row ledger", "as": "CSV"},
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
