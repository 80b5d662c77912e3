# Input and parameter functions of report.smk.

# Tables with a page in the report: title and category.
TABLE_PAGES = {
    "main_table": ("Main table", "Main results"),
    "scores": ("Scores by test set", "Main results"),
    "lengths": ("Lengths of the answers", "Main results"),
    "failure_modes": ("Why extractive answers fail", "Main results"),
    "published_vs_measured": ("Published and measured", "Main results"),
    "deviations": ("Deviations", "Main results"),
    "claims": ("Claims", "Claims"),
    "tradeoff": ("Trade-offs", "Trade-off"),
    "length_split": ("Length splits", "Trade-off"),
    "what_if": ("What if selection weighed otherwise", "ReSet"),
    "selection_margins": ("How far the best sample leads", "ReSet"),
    "selection_settings": ("Which decoding settings win", "ReSet"),
    "data_stats": ("Data", "Data"),
    "gold_positions": ("Where the answer stands", "Data"),
    "overlaps": ("Overlaps of test and training sets", "Data"),
    "row_ledger": ("Row ledger", "Data"),
    "trajectories": ("Training trajectories", "Training"),
    "judge_cost": ("Cost of the judges", "Judges"),
    "judge_drift": ("Drift of the judges", "Judges"),
    "paper_index": ("Where the paper's figures and tables are", "Appendix"),
    "cost": ("Cost and time", "Appendix"),
}
COST_PAGE = "<results>/figures/cost.html"
TRACED_TABLES = ["main_table", "tradeoff", "claims"]
LATER_FILES = ["figures/provenance.html"]  # made from the manifest, so not in it


def table_title(wildcards):
    return TABLE_PAGES[wildcards.table][0]


def table_category(wildcards):
    return TABLE_PAGES[wildcards.table][1]


def table_labels(wildcards):
    return {"what": table_title(wildcards).lower(), "as": "page"}


def table_note(wildcards):
    """What to see in a table: the caption of its CSV file."""
    return (Path(workflow.basedir) / "report" / f"{wildcards.table}.rst").read_text()


def shown_systems():
    """The systems of the example browser: every evaluated checkpoint, with its first seed.

    Those of the main table come first; others are named by pipeline or run, and checkpoint.
    """
    main = {(row["run"], row["checkpoint"]): row["label"] for row in config["tables"]["main"]}
    pipelines = {entry["run"]: entry["label"] for entry in config["tables"]["tradeoffs"].values()}
    shown = {}
    for point in experiment.points():
        if point.seed == experiment.seeds(point.run)[0]:
            name = f"{pipelines.get(point.run, point.run)}, {point.checkpoint}"
            label = main.get((point.run, point.checkpoint))
            entry = {"label": label or name, "main": label is not None}
            if label or point.source not in shown:
                shown[point.source] = entry
    labels = list(main.values())
    order = sorted(shown, key=lambda weights: rank(labels, shown[weights]["label"]))
    return [shown[weights] | asdict(weights) for weights in order]


def rank(labels, label):
    return labels.index(label) if label in labels else len(labels)


def shown_weights():
    names = ("run", "seed", "checkpoint")
    return [Weights(*(system[name] for name in names)) for system in shown_systems()]


def shown_generations():
    pattern = "<results>/generations/{run}/seed-{seed}/{checkpoint}.parquet"
    return [in_point(weights, pattern) for weights in shown_weights()]


def shown_scores():
    pattern = "<results>/scores/generations/{run}/seed-{seed}/{checkpoint}/"
    return [
        f"{in_point(weights, pattern)}{scorer}.parquet"
        for weights in shown_weights()
        for scorer in experiment.evaluation_scorers()
    ]


def shown_judgments():
    judge = config["evaluation"]["judge"]
    pattern = "<results>/judgments/generations/{run}/seed-{seed}/{checkpoint}/"
    return [f"{in_point(weights, pattern)}{judge}.raw.parquet" for weights in shown_weights()]


def evaluation_record():
    """What the tables are made by, for the manifest: a trace starts from it."""
    return {
        "points": experiment.point_records(),
        "judge": config["evaluation"]["judge"],
        "faithfulness": config["faithfulness"],
        "task": config["task"],
        "tables": config["tables"],
    }


def tradeoff_label(wildcards):
    return config["tables"]["tradeoffs"][wildcards.pipeline]["label"]
