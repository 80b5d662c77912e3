# Figures: SVG for the report and PDF for papers.


localrules:
    draw_stages,
    draw_plane,
    draw_lengths,
    draw_selection,
    draw_claims,
    draw_diagrams,
    show_changes,
    show_templates,


rule draw_stages:
    """Draw the paper's figures of one run: start, best and last on each test set of some kinds."""
    input:
        cells="<results>/metrics/cells.csv",
    output:
        svg=[
            report(
                f"<results>/figures/{name}.svg",
                caption="../report/stage_figure.rst",
                category="Trade-off",
                labels={"what": figure["title"], "as": "figure"},
            )
            for name, figure in STAGE_FIGURES.items()
        ],
        pdf=[f"<results>/figures/{name}.pdf" for name in STAGE_FIGURES],
    log:
        "<logs>/draw_stages.log",
    benchmark:
        "<benchmarks>/draw_stages.jsonl"
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=5,
    params:
        figures=list(STAGE_FIGURES.values()),
        judge=config["evaluation"]["judge"],
    script:
        "../scripts/draw_stages.py"


rule draw_plane:
    """Draw every system in the plane of faithfulness and instruction following."""
    input:
        averages="<results>/metrics/averages.csv",
    output:
        svg=report(
            "<results>/figures/plane.svg",
            caption="../report/plane_figure.rst",
            category="Main results",
            labels={"what": "instruction following and faithfulness", "as": "figure"},
        ),
        pdf="<results>/figures/plane.pdf",
    log:
        "<logs>/draw_plane.log",
    benchmark:
        "<benchmarks>/draw_plane.jsonl"
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=5,
    params:
        systems=config["tables"]["main"],
        stages=[run for run in experiment.run_names() if len(config["runs"][run]["evaluate"]) > 1],
    script:
        "../scripts/draw_plane.py"


rule draw_lengths:
    """Draw the lengths of answers: of all systems, in length splits, and against ratings."""
    input:
        lengths="<results>/metrics/answer_lengths.csv",
        splits="<results>/metrics/length_split.csv",
        bias="<results>/metrics/length_bias.csv",
    output:
        lengths_svg=report(
            "<results>/figures/answer_lengths.svg",
            caption="../report/answer_lengths_figure.rst",
            category="Trade-off",
            labels={"what": "answer lengths", "as": "figure"},
        ),
        lengths_pdf="<results>/figures/answer_lengths.pdf",
        split_svg=[
            report(
                f"<results>/figures/length_split-{pipeline}.svg",
                caption="../report/length_split_figure.rst",
                category="Trade-off",
                labels={"what": f"length split {pipeline}", "as": "figure"},
            )
            for pipeline in config["tables"]["tradeoffs"]
        ],
        split_pdf=[
            f"<results>/figures/length_split-{pipeline}.pdf"
            for pipeline in config["tables"]["tradeoffs"]
        ],
        bias_svg=report(
            "<results>/figures/length_bias.svg",
            caption="../report/length_bias_figure.rst",
            category="Judges",
            labels={"what": "ratings by length", "as": "figure"},
        ),
        bias_pdf="<results>/figures/length_bias.pdf",
    log:
        "<logs>/draw_lengths.log",
    benchmark:
        "<benchmarks>/draw_lengths.jsonl"
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=5,
    params:
        systems=config["tables"]["main"],
        tradeoffs=config["tables"]["tradeoffs"],
    script:
        "../scripts/draw_lengths.py"


rule draw_selection:
    """Draw how far the best samples lead and which decoding settings win."""
    input:
        margins="<results>/metrics/selection_margins.csv",
        settings="<results>/metrics/selection_settings.csv",
    output:
        margins_svg=report(
            "<results>/figures/selection_margins.svg",
            caption="../report/selection_figure.rst",
            category="ReSet",
            labels={"what": "margins of the best samples", "as": "figure"},
        ),
        margins_pdf="<results>/figures/selection_margins.pdf",
        settings_svg=report(
            "<results>/figures/selection_settings.svg",
            caption="../report/selection_figure.rst",
            category="ReSet",
            labels={"what": "winning decoding settings", "as": "figure"},
        ),
        settings_pdf="<results>/figures/selection_settings.pdf",
    log:
        "<logs>/draw_selection.log",
    benchmark:
        "<benchmarks>/draw_selection.jsonl"
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=5,
    script:
        "../scripts/draw_selection.py"


rule draw_claims:
    """Draw the effects and verdicts of the claims."""
    input:
        claims="<results>/metrics/claims.csv",
    output:
        svg=report(
            "<results>/figures/claims.svg",
            caption="../report/claims_figure.rst",
            category="Claims",
            labels={"what": "effects and verdicts", "as": "figure"},
        ),
        pdf="<results>/figures/claims.pdf",
    log:
        "<logs>/draw_claims.log",
    benchmark:
        "<benchmarks>/draw_claims.jsonl"
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=5,
    script:
        "../scripts/draw_claims.py"


rule draw_diagrams:
    """Draw the paper's two diagrams anew."""
    output:
        svg=[
            report(
                f"<results>/figures/{name}_diagram.svg",
                caption="../report/diagram_figure.rst",
                category="Appendix",
                labels={"what": f"diagram {name}", "as": "figure"},
            )
            for name in DIAGRAMS
        ],
        pdf=[f"<results>/figures/{name}_diagram.pdf" for name in DIAGRAMS],
    log:
        "<logs>/draw_diagrams.log",
    benchmark:
        "<benchmarks>/draw_diagrams.jsonl"
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=5,
    params:
        diagrams=DIAGRAMS,
    script:
        "../scripts/draw_diagrams.py"


rule show_changes:
    """Write one example of what a pipeline's second stage changes: the largest fall of a score."""
    input:
        scores="<results>/metrics/example_scores.parquet",
        before=change_side("start"),
        after=change_side("best"),
        examples=test_files,
    output:
        document="<results>/examples/{document}.md",
    log:
        "<logs>/show_changes/{document}.log",
    benchmark:
        "<benchmarks>/show_changes/{document}.jsonl"
    wildcard_constraints:
        document=any_of(CHANGE_DOCUMENTS),
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=5,
    params:
        family=lambda wildcards: CHANGE_DOCUMENTS[wildcards.document]["family"],
        title=lambda wildcards: CHANGE_DOCUMENTS[wildcards.document]["title"],
        systems=change_systems,
        seed=change_seed,
        faithfulness=config["faithfulness"],
        task=config["task"],
        judge=config["evaluation"]["judge"],
    script:
        "../scripts/show_changes.py"


rule show_templates:
    """Write the template of all prompts and the judge's prompt."""
    output:
        template_page="<results>/examples/instruction_template.md",
        judge_page="<results>/examples/gpt4_eval_prompt.md",
    log:
        "<logs>/show_templates.log",
    benchmark:
        "<benchmarks>/show_templates.jsonl"
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=5,
    params:
        template=TEMPLATE,
        judge_prompt=evaluation_prompt,
    script:
        "../scripts/show_templates.py"
