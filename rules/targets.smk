# What can be asked for by name (`all` stands in the Snakefile).


localrules:
    prepare,
    checkpoints,
    tradeoff,
    reset,
    paper,
    robustness,
    missing,
    mini_models,


rule prepare:
    """Examples, mixtures and their ledgers."""
    input:
        prepared_files,


rule checkpoints:
    """Trained weights of every run and seed."""
    input:
        lambda wildcards: checkpoint_files(),


rule tradeoff:
    """Both two-stage pipelines: the trade-off table and its figures."""
    input:
        "<results>/metrics/tradeoff.csv",
        figure_files,


rule reset:
    """ReSet, ReSet-S and their controls: pools, selected rows, weights, scores (nothing is wiped)."""
    input:
        lambda wildcards: pool_files(),
        lambda wildcards: selection_files(".parquet") + selection_files(".ledger.csv"),
        reset_results,


rule paper:
    """The tables and figures of the paper."""
    input:
        table_files,
        figure_files,
        lambda wildcards: example_files() + index_files(),


rule robustness:
    """Three epochs in place of one: checkpoints, scores and claims of the robustness runs."""
    input:
        lambda wildcards: checkpoint_files("robustness") + score_files("robustness"),
        "<results>/metrics/robustness_claims.csv",


rule missing:
    """Kept files that are not there, and nothing that stands on them (`all` goes on where they differ)."""
    input:
        missing_files,


rule mini_models:
    """Rebuild the miniature's base, instruct and NLI models and probe them beside the shipped ones."""
    input:
        f"<results>/mini_models/probes.csv",
