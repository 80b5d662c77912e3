# Figures. The report itself is Snakemake's own (`snakemake --report`), made after the run.


localrules:
    draw_table,
    draw_tradeoff,
    draw_trajectories,


rule draw_table:
    """Write a table as a page, since the report offers CSV files only as downloads."""
    input:
        table="<results>/metrics/{table}.csv",
    output:
        page=report(
            "<results>/figures/{table}.html",
            caption="../report/table_page.rst",
            category="Tables",
            labels={"table": "{table} as a page"},
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
        title=lambda wildcards: TABLE_PAGES[wildcards.table],
        judge=config["evaluation"]["judge"],
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
            category="Figures",
            labels={"figure": "trade-off {pipeline}"},
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
    """Draw validation perplexity against training steps for every run."""
    input:
        trajectories="<results>/metrics/trajectories.csv",
    output:
        svg=report(
            "<results>/figures/trajectories.svg",
            caption="../report/trajectories_figure.rst",
            category="Figures",
            labels={"figure": "training trajectories"},
        ),
        pdf="<results>/figures/trajectories.pdf",
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
