# Input and parameter functions of targets.smk.


def raw_files(wildcards):
    return [f"<raw>/{dataset}/manifest.json" for dataset in experiment.datasets]


def prepared_files(wildcards):
    mixtures = [
        f"<results>/mixtures/{mixture}/{name}"
        for mixture in used_mixtures()
        for name in ("train.parquet", "validation.parquet", "ledger.csv", "duplicates.csv")
    ]
    splits = [file for suffix in SPLIT_SUFFIXES for file in split_files(suffix)]
    return splits + mixtures + table_paths(DATA_TABLES) + document_files()


def built_model_files():
    """The files of the small models that the experiment makes itself."""
    built = [name for name, model in config["models"].items() if "build" in model]
    return [file for name in built for file in model_files(name)]


def checkpoint_files(group="paper"):
    folders = [f"<results>/checkpoints/{run}/seed-{seed}" for run, seed in run_seeds(group)]
    weights = [
        f"{folder}/{which}/{name}"
        for folder in folders
        for which in ("best", "last")
        for name in MODEL_FILES
    ]
    records = [
        f"{folder}/{name}" for folder in folders for name in ("history.csv", "provenance.json")
    ]
    settings = [f"<results>/runs/{run}.json" for run in experiment.run_names(group)]
    return settings + built_model_files() + weights + records


def judgment_files(group="paper"):
    pattern = "<results>/judgments/generations/{run}/seed-{seed}/{checkpoint}/"
    return [
        f"{in_point(point, pattern)}{judge}.raw.parquet"
        for point in experiment.evaluated_weights(group)
        for judge in experiment.evaluation_judges()
    ]


def pool_judgment_files(group="paper"):
    """What the judges said of the pools of a group's selections."""
    return [path for path in pool_files(group) if path.endswith(".raw.parquet")]


def pool_files(group="paper"):
    """The pools of a group's selections with what the judges said and every score."""
    files = []
    for selection in experiment.selections_of(group):
        pool = config["selections"][selection]["pool"]
        judge = config["selections"][selection]["judge"]
        for seed in experiment.selection_seeds(selection):
            tail = f"{pool['run']}/seed-{seed}/{pool['decoding']}"
            files.append(f"<results>/samples/{tail}.parquet")
            files.append(f"<results>/judgments/samples/{tail}/{judge}.raw.parquet")
            scorers = experiment.pool_scorers(selection)
            files.extend(f"<results>/scores/samples/{tail}/{scorer}.parquet" for scorer in scorers)
    return list(dict.fromkeys(files))


def figure_files(wildcards):
    names = ["trajectories", "losses", "plane", "answer_lengths", "length_bias", "claims"]
    names += ["selection_margins", "selection_settings"]
    names += [*STAGE_FIGURES, *(f"{name}_diagram" for name in DIAGRAMS)]
    for pipeline in config["tables"]["tradeoffs"]:
        names += [f"tradeoff-{pipeline}", f"length_split-{pipeline}"]
    late = ("cost", "paper_index")
    pages = [f"<results>/figures/{table}.html" for table in TABLE_PAGES if table not in late]
    pages += ["<results>/examples/browser.html", "<results>/examples/prompts.html"]
    return pages + [
        f"<results>/figures/{name}.{suffix}" for name in names for suffix in ("svg", "pdf")
    ]


def document_files():
    names = [f"prompt-{dataset}" for dataset in experiment.datasets]
    names += ["task_instructions"]
    return [f"<results>/examples/{name}.md" for name in names]


def example_files():
    """The pages of prompts and of answers before and after."""
    names = ["instruction_template", "gpt4_eval_prompt", *CHANGE_DOCUMENTS]
    return [f"<results>/examples/{name}.md" for name in names]


def table_files(wildcards):
    names = ("scores", "main_table", "tradeoff", "trajectories", "lengths", "row_ledger")
    names += ("cells", "averages", "checkpoint_scores", "answer_lengths", "coverage")
    names += ("length_split", "length_bias", "claims", "published_vs_measured", "deviations")
    names += ("judge_cost", "judge_drift")
    names += ("failure_modes", "what_if", "selection_margins", "selection_settings")
    rows = ["<results>/metrics/example_scores.parquet"]
    readable = readable_paths(READABLE_TABLES, "md") + readable_paths(READABLE_TABLES, "tex")
    return table_paths(names + DATA_TABLES) + readable + rows


def index_files():
    """The index of the paper's figures and tables, which needs them all."""
    return [*table_paths(["paper_index"]), "<results>/figures/paper_index.html"]


def reset_results(wildcards):
    """Weights and scores of the runs that train on a selection."""
    weights = [
        Weights(run, seed, "best")
        for run, seed in run_seeds()
        if "selection" in config["runs"][run]
    ]
    pattern = "<results>/scores/generations/{run}/seed-{seed}/{checkpoint}/"
    scores = [
        f"{in_point(point, pattern)}{scorer}.parquet"
        for point in weights
        for scorer in experiment.evaluation_scorers()
    ]
    return [name for point in weights for name in weights_files(point)] + scores


def kept_files(wildcards):
    """Every kept file but what is made from all of them: the cost, the manifest and its page."""
    return [
        *raw_files(wildcards),
        *prepared_files(wildcards),
        *checkpoint_files(),
        *generation_files(),
        *judgment_files(),
        *score_files(),
        *pool_files(),
        *selection_files(".parquet"),
        *selection_files(".ledger.csv"),
        "<results>/labels/failures.csv",
        "<results>/labels/failures.key.csv",
        "<results>/labels/failures.labelled.csv",
        *table_files(wildcards),
        *figure_files(wildcards),
        *example_files(),
        *index_files(),
    ]


def missing_files(wildcards):
    """Kept files that are not there: Snakemake plans all that stands on them when `all` is asked."""
    return [path for path in dict.fromkeys(kept_files(wildcards)) if not is_there(path)]


def is_there(path):
    for name, place in (
        ("<results>", f"results/{config['experiment']}"),
        ("<raw>", config["paths"]["raw"]),
    ):
        path = path.replace(name, place)
    return Path(path).exists()


def manifest_files(wildcards):
    return [*dict.fromkeys(kept_files(wildcards)), "<results>/metrics/cost.csv", COST_PAGE]


def closing_files(wildcards):
    """What is made from all other kept files."""
    later = [f"<results>/{name}" for name in LATER_FILES]
    return ["<results>/metrics/cost.csv", COST_PAGE, "<results>/manifest.json", *later]
