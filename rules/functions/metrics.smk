# Input and parameter functions of metrics.smk.


def score_files(group="paper"):
    pattern = "<results>/scores/generations/{run}/seed-{seed}/{checkpoint}/"
    return [
        f"{in_point(weights, pattern)}{scorer}.parquet"
        for weights in experiment.evaluated_weights(group)
        for scorer in experiment.evaluation_scorers()
    ]


def generation_files(group="paper"):
    pattern = "<results>/generations/{run}/seed-{seed}/{checkpoint}.parquet"
    return [in_point(weights, pattern) for weights in experiment.evaluated_weights(group)]


def run_seeds(group="paper"):
    """The trained (run, seed) pairs of a group."""
    return [(run, seed) for run in experiment.run_names(group) for seed in experiment.seeds(run)]


def history_files(group="paper"):
    folder = "<results>/checkpoints"
    return [f"{folder}/{run}/seed-{seed}/history.csv" for run, seed in run_seeds(group)]


def split_files(suffix):
    return [
        f"<results>/data/{dataset}/{split}{suffix}"
        for dataset, entry in experiment.datasets.items()
        for split in entry["splits"]
    ]


def selection_files(suffix, group="paper"):
    return [
        f"<results>/selected/{selection}/seed-{seed}{suffix}"
        for selection in experiment.selections_of(group)
        for seed in experiment.selection_seeds(selection)
    ]


def used_mixtures(group="paper"):
    """The mixtures on which the runs of a group train or validate."""
    used = [experiment.validation_mixture(run) for run in experiment.run_names(group)]
    return list(dict.fromkeys(used))


def ledger_files():
    mixtures = [f"<results>/mixtures/{mixture}/ledger.csv" for mixture in used_mixtures()]
    return split_files(".ledger.csv") + mixtures + selection_files(".ledger.csv")


def table_paths(names):
    return [f"<results>/metrics/{name}.csv" for name in names]


def readable_paths(names, suffix):
    return [f"<results>/metrics/{name}.{suffix}" for name in names]


BOOTSTRAP = {key: config["statistics"][key] for key in ("draws", "seed", "level")}
PAPER_INDEX = resource("paper_index.yaml")
READABLE_TABLES = {
    "main_table": "Main table",
    "tradeoff": "Trade-offs",
    "length_split": "Length splits",
    "checkpoint_scores": "Start, best and last by test set",
    "answer_lengths": "Answer lengths in tokens",
    "coverage": "Supplementary metrics",
    "claims": "Claims",
    "published_vs_measured": "Published and measured",
    "deviations": "Deviations",
    "data_stats": "Datasets",
}
DIAGRAMS = ["inoculation", "our_method"]


def system_models():
    """What each run of the main table started from, as the models' hub id or folder."""
    runs = [system["run"] for system in config["tables"]["main"]]
    models = {run: experiment.root_model(run) for run in runs}
    return {
        run: config["models"][model].get("hub") or config["models"][model].get("path", model)
        for run, model in models.items()
    }


def deviations(wildcards):
    """The paper's oddities and the assumed values, with the resolved configuration's values."""
    oddities = resource("deviations.yaml")
    text = (Path(workflow.basedir) / "config.yaml").read_text(encoding="utf-8")
    return deviation_rows(oddities, text, config)


def indexed_files(wildcards):
    """The files of the paper's index that this configuration makes."""
    made = {*figure_files(wildcards), *table_files(wildcards), *document_files()}
    made |= set(example_files())
    named = [f"<results>/{file}" for entry in PAPER_INDEX.values() for file in entry["files"]]
    return list(dict.fromkeys(file for file in named if file in made))
