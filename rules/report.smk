# Figures, pages, cost, manifest. The report itself is Snakemake's own (`snakemake --report`), made after the run.


localrules:
    draw_table,
    draw_tradeoff,
    draw_trajectories,
    draw_examples,
    draw_documents,
    tabulate_cost,
    write_manifest,
    draw_provenance,


rule draw_table:
    """Write a table as a page, since the report offers CSV files only as downloads."""
    input:
        table="<results>/metrics/{table}.csv",
    output:
        page=report(
            "<results>/figures/{table}.html",
            caption="../report/table_page.rst",
            category=table_category,
            labels=table_labels,
        ),
    log:
        "<logs>/draw_table/{table}.log",
    benchmark:
        "<benchmarks>/draw_table/{table}.jsonl"
    wildcard_constraints:
        table=any_of(TABLE_PAGES),
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=5,
    params:
        title=table_title,
        note=table_note,
    script:
        "../scripts/draw_table.py"


rule draw_tradeoff:
    """Draw one pipeline's instruction following and faithfulness before and after."""
    input:
        tradeoff="<results>/metrics/tradeoff.csv",
    output:
        svg=report(
            "<results>/figures/tradeoff-{pipeline}.svg",
            caption="../report/tradeoff_figure.rst",
            category="Trade-off",
            labels={"what": "trade-off {pipeline}", "as": "figure"},
        ),
        pdf="<results>/figures/tradeoff-{pipeline}.pdf",
    log:
        "<logs>/draw_tradeoff/{pipeline}.log",
    benchmark:
        "<benchmarks>/draw_tradeoff/{pipeline}.jsonl"
    wildcard_constraints:
        pipeline=any_of(config["tables"]["tradeoffs"]),
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=5,
    params:
        pipeline="{pipeline}",
        label=tradeoff_label,
    script:
        "../scripts/draw_tradeoff.py"


rule draw_trajectories:
    """Draw validation perplexity and losses against training steps for every run."""
    input:
        trajectories="<results>/metrics/trajectories.csv",
    output:
        svg=report(
            "<results>/figures/trajectories.svg",
            caption="../report/trajectories_figure.rst",
            category="Training",
            labels={"what": "training trajectories", "as": "figure"},
        ),
        pdf="<results>/figures/trajectories.pdf",
        losses_svg=report(
            "<results>/figures/losses.svg",
            caption="../report/losses_figure.rst",
            category="Training",
            labels={"what": "losses", "as": "figure"},
        ),
        losses_pdf="<results>/figures/losses.pdf",
    log:
        "<logs>/draw_trajectories.log",
    benchmark:
        "<benchmarks>/draw_trajectories.jsonl"
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=5,
    script:
        "../scripts/draw_trajectories.py"


rule draw_examples:
    """Write the example browser: all systems' answers to some examples of every test set."""
    input:
        examples=test_files,
        generations=shown_generations(),
        scores=shown_scores(),
        judgments=shown_judgments(),
    output:
        page=report(
            "<results>/examples/browser.html",
            caption="../report/examples.rst",
            category="Main results",
            labels={"what": "examples and answers", "as": "page"},
        ),
    log:
        "<logs>/draw_examples.log",
    benchmark:
        "<benchmarks>/draw_examples.jsonl"
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=15,
    params:
        systems=shown_systems(),
        judge=config["evaluation"]["judge"],
        faithfulness=config["faithfulness"],
        task=config["task"],
        seen=experiment.seen_datasets,
        per_set=50,
        template=TEMPLATE,
        tasks=TEST_TASKS,
    script:
        "../scripts/draw_examples.py"


rule draw_documents:
    """Join the documents (full prompts, templates, answers before and after) in one page."""
    input:
        documents=document_files() + example_files(),
    output:
        page=report(
            "<results>/examples/prompts.html",
            caption="../report/prompts.rst",
            category="Appendix",
            labels={"what": "prompts and answers in full", "as": "page"},
        ),
    log:
        "<logs>/draw_documents.log",
    benchmark:
        "<benchmarks>/draw_documents.jsonl"
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=5,
    params:
        title="Prompts, instructions, and answers before and after",
    script:
        "../scripts/draw_documents.py"


rule tabulate_cost:
    """Tabulate time, memory and money of every rule and run from the benchmark files."""
    input:
        files=kept_files,
    output:
        table=report(
            "<results>/metrics/cost.csv",
            caption="../report/cost.rst",
            category="Appendix",
            labels={"what": "cost and time", "as": "CSV"},
        ),
    log:
        "<logs>/tabulate_cost.log",
    benchmark:
        "<benchmarks>/tabulate_cost.jsonl"
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=15,
    params:
        prices=judge_prices(),
    script:
        "../scripts/tabulate_cost.py"


rule write_manifest:
    """Write the manifest of the run: every kept file with its digest and the job that made it."""
    input:
        files=manifest_files,
    output:
        manifest=report(
            "<results>/manifest.json",
            caption="../report/manifest.rst",
            category="Appendix",
            labels={"what": "manifest of the run", "as": "JSON"},
        ),
    log:
        "<logs>/write_manifest.log",
    benchmark:
        "<benchmarks>/write_manifest.jsonl"
    conda:
        "../envs/analysis.yaml"
    threads: 2
    resources:
        mem_mb=2000,
        runtime="4h",
    params:
        experiment=config["experiment"],
        sidecar=in_results("sidecars/digests"),
        evaluation=evaluation_record(),
        later=LATER_FILES,
    script:
        "../scripts/write_manifest.py"


rule draw_provenance:
    """Write the page that traces every cell of the tables back to the raw files."""
    input:
        manifest="<results>/manifest.json",
    output:
        page=report(
            "<results>/figures/provenance.html",
            caption="../report/provenance.rst",
            category="Appendix",
            labels={"what": "where each number comes from", "as": "page"},
        ),
    log:
        "<logs>/draw_provenance.log",
    benchmark:
        "<benchmarks>/draw_provenance.jsonl"
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=15,
    params:
        tables=TRACED_TABLES,
    script:
        "../scripts/draw_provenance.py"
