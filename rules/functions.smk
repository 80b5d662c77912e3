# Input and parameter functions of the rules, in the order of the rule files.

# ---------------------------------------------------------------- data

SPLIT_SUFFIXES = (".parquet", ".ledger.csv", ".overlaps.csv")
DATA_TABLES = ("data_stats", "gold_positions", "overlaps")


def source_of(wildcards):
    return experiment.source(wildcards.dataset)


def found_locally(wildcards):
    """The raw files of a local source; the job itself says what is missing, and where."""
    source = source_of(wildcards)
    if source["type"] != "local":
        return []
    try:
        found = local_files(wildcards.dataset, source)
    except InputError:
        return []
    return [str(path) for paths in found.values() for path in paths]


def of_source(*types):
    """Pattern of the datasets with one of these source types."""
    entries = experiment.datasets.items()
    return any_of(name for name, entry in entries if entry["source"]["type"] in types)


def compared_training_files(wildcards):
    """The training sets in which a test split must be unseen."""
    sets = experiment.compared_training_sets(wildcards.dataset, wildcards.split)
    return data_files(sets, "train")


def split_spec(wildcards):
    return experiment.split_spec(wildcards.dataset, wildcards.split)


def mixture_files(wildcards):
    return data_files(experiment.mixture_datasets(wildcards.mixture), "train")


def mixture_tokenizer_files(wildcards):
    return tokenizer_files(tokenizer_model(wildcards.mixture))


def mixture_tokenizer_path(wildcards, input):
    return model_path(input.tokenizer_files, tokenizer_model(wildcards.mixture))


def mixture_spec(wildcards):
    return experiment.mixture_spec(wildcards.mixture)


def mixture_tasks(wildcards):
    """The task instructions of the mixture's own datasets: others change nothing in it."""
    members = experiment.mixture_datasets(wildcards.mixture)
    return {dataset: TASKS[dataset] for dataset in members if dataset in TASKS}


def mixture_outputs(name):
    return [f"<results>/mixtures/{mixture}/{name}" for mixture in used_mixtures()]


def statistics_tokenizer_files(wildcards):
    return tokenizer_files(tokenizer_model(used_mixtures()[0]))


def statistics_tokenizer_path(wildcards, input):
    return model_path(input.tokenizer_files, tokenizer_model(used_mixtures()[0]))


def shown_splits():
    """The split of each dataset whose prompt is shown: its test set if it has one."""
    return [
        f"<results>/data/{dataset}/{'test' if 'test' in entry['splits'] else 'train'}.parquet"
        for dataset, entry in experiment.datasets.items()
    ]


def task_users():
    """The datasets that use each task instruction."""
    users = {}
    for dataset, task in experiment.tasks().items():
        users.setdefault(task, []).append(dataset)
    return users


def evaluated_tokens(wildcards):
    return config["decodings"][config["evaluation"]["decoding"]]["max_new_tokens"]


# ---------------------------------------------------------------- train


def trained_examples(wildcards):
    """The text on which a small model's tokenizer is trained."""
    return data_files(experiment.datasets_with("train"), "train")


def model_build(wildcards):
    return config["models"][wildcards.model]["build"] | {
        "max_length": config["prompt"]["max_length"]
    }


def resolved_run(wildcards):
    return experiment.resolved_run(wildcards.run)


def training_rows(wildcards):
    run = config["runs"][wildcards.run]
    if "mixture" in run:
        return f"<results>/mixtures/{run['mixture']}/train.parquet"
    return f"<results>/selected/{run['selection']}/seed-{wildcards.seed}.parquet"


def validation_rows(wildcards):
    return f"<results>/mixtures/{experiment.validation_mixture(wildcards.run)}/validation.parquet"


def base_files(wildcards):
    return weights_files(experiment.base_weights(wildcards.run, int(wildcards.seed)))


def deepspeed_file(wildcards):
    return resolved_run(wildcards)["training"].get("deepspeed", [])


def base_path(wildcards, input):
    return model_path(input.base, experiment.root_model(wildcards.run))


# ---------------------------------------------------------------- generate


GENERATION = config["generation"]
GENERATION_ENDPOINT = GENERATION.get("endpoint", {})
GENERATION_SERVER = GENERATION_ENDPOINT.get("server", {})
GENERATION_ENVIRONMENT = (
    "../envs/vllm.yaml" if GENERATION["backend"] == "vllm" else "../envs/train.yaml"
)

# What decides the outputs beside the model; a server of the job's own is known by its command.
GENERATION_BACKEND = {"kind": GENERATION["backend"]}
if GENERATION["backend"] == "endpoint":
    GENERATION_BACKEND |= {
        key: GENERATION_ENDPOINT[key]
        for key in ("base_url", "model", "prompt_as")
        if key in GENERATION_ENDPOINT
    }
    GENERATION_BACKEND |= {key: GENERATION_SERVER[key] for key in ("command",) if GENERATION_SERVER}

# What decides how fast they come; changes rebuild nothing.
GENERATION_MEANS = {
    "batch_tokens": GENERATION["batch_tokens"],
    "cpu_ranks": GENERATION["cpu_ranks"],
    "gpu_memory": str(GENERATION["gpu_memory"]),
    "concurrency": GENERATION_ENDPOINT.get("concurrency", 16),
    "api_key_variable": GENERATION_ENDPOINT.get("api_key_variable", "none"),
    "ready_minutes": GENERATION_SERVER.get("ready_minutes", 30),
}
GENERATION_GPUS = GENERATION_SERVER.get("gpus", 0) if GENERATION["backend"] == "endpoint" else 1


def generating_weights(wildcards):
    return Weights(wildcards.run, int(wildcards.seed), wildcards.checkpoint)


def generating_files(wildcards):
    return weights_files(generating_weights(wildcards))


def sampled_files(wildcards):
    return weights_files(Weights(wildcards.run, int(wildcards.seed), "best"))


def generating_path(wildcards, input):
    return model_path(input.model, experiment.root_model(wildcards.run))


def decoding_spec(wildcards):
    return config["decodings"][wildcards.decoding]


# ---------------------------------------------------------------- judge


def judge_spec(wildcards):
    return experiment.judge_spec(wildcards.judge)


def judge_means(key):
    """Return the function that reads how a judge is asked, as text, which resources allow for all."""

    def read(wildcards):
        return str(experiment.judge_means(wildcards.judge, key))

    return read


def judges_at(place):
    """Pattern of the judges that answer at an address, or from GPUs or CPUs of the job itself."""
    return any_of(name for name in config["judges"] if place_of(name) == place)


def place_of(judge):
    if not experiment.is_served(judge):
        return "an address"
    return "GPUs of the job" if experiment.judge_means(judge, "gpus") else "CPUs of the job"


def judge_prices():
    return {name: judge["price"] for name, judge in config["judges"].items() if "price" in judge}


def judge_price(part):
    """Return the function that reads a part of a judge's price."""

    def read(wildcards):
        return str(judge_prices().get(wildcards.judge, {}).get(part, 0.0))

    return read


def judge_gpus(wildcards):
    """The GPUs of a server that the job starts."""
    return experiment.judge_means(wildcards.judge, "gpus") if is_served(wildcards) else 0


def judge_memory(wildcards, attempt):
    """Memory of the client, and of a server that the job starts."""
    server = 1000 * experiment.judge_means(wildcards.judge, "memory_gb")
    start = 2000 + (server if is_served(wildcards) else 0)
    return grown(start, attempt, MAX_MEMORY_MB)


def is_served(wildcards):
    return experiment.is_served(wildcards.judge)


def used_judges():
    """The judges of the evaluation and of the selections, in the order of the config."""
    selections = experiment.selections_of("paper")
    used = {*experiment.evaluation_judges()}
    used |= {config["selections"][selection]["judge"] for selection in selections}
    return [name for name in config["judges"] if name in used]


def judge_prompt(wildcards):
    return resource(f"prompts/{config['judges'][wildcards.judge]['prompt']}.yaml")


def check_judge_keys(jobs):
    """Stop before the first job when one of them needs an API key that is not set."""
    asking = ("query_judge", "query_pool_judge", "validate_judge")
    asking += tuple(f"{name}_{how}" for name in asking for how in ("served", "served_on_cpu"))
    judges = {job.wildcards.judge for job in jobs if job.rule.name in asking}
    for judge in sorted(judges):
        variable = config["judges"][judge].get("api_key_variable")
        is_replayed = config["judges"][judge].get("mode") == "replay"
        if variable and not is_replayed and not os.environ.get(variable):
            raise WorkflowError(
                f"The judge {judge} needs an API key: set the environment variable {variable}."
            )


def check_generation_key(jobs):
    """Stop before the first job when the generating endpoint needs a key that is not set."""
    variable = GENERATION_ENDPOINT.get("api_key_variable")
    generating = ("generate_outputs", "sample_outputs")
    if GENERATION["backend"] != "endpoint" or not variable or os.environ.get(variable):
        return
    if any(job.rule.name in generating for job in jobs):
        raise WorkflowError(f"generation.endpoint needs a key: set the variable {variable}.")


def judge_scale(wildcards):
    return config["judges"][wildcards.judge]["scale"]


# ---------------------------------------------------------------- score


def metrics_of(*kinds):
    """Pattern of the metrics of these kinds."""
    return any_of(name for name, entry in config["metrics"].items() if entry["kind"] in kinds)


METRIC_MEANS = ("batch_size", "batch_tokens")


def metric_spec(wildcards):
    """What decides a metric's value; how much is scored at once does not."""
    spec = config["metrics"][wildcards.metric]
    return {key: value for key, value in spec.items() if key not in METRIC_MEANS}


def metric_means(key):
    """Return the function that reads how much a metric scores at once."""

    def read(wildcards):
        return config["metrics"][wildcards.metric].get(key, 0)

    return read


def nli_files(wildcards):
    """The files of an NLI model in a folder; one on a hub is named by the spec."""
    model = config["metrics"][wildcards.metric]["model"]
    key = f"metrics.{wildcards.metric}.model"
    return folder_files(key, model) if Path(model).is_dir() else []


# ---------------------------------------------------------------- select


def selection_entry(wildcards):
    return config["selections"][wildcards.selection]


def selection_pool(wildcards):
    pool = selection_entry(wildcards)["pool"]
    return f"<results>/samples/{pool['run']}/seed-{wildcards.seed}/{pool['decoding']}.parquet"


def selection_mixture(wildcards):
    return f"<results>/mixtures/{experiment.pool_mixture(wildcards.selection)}/train.parquet"


def selection_scores(wildcards):
    pool = selection_entry(wildcards)["pool"]
    folder = f"<results>/scores/samples/{pool['run']}/seed-{wildcards.seed}/{pool['decoding']}"
    return [f"{folder}/{name}.parquet" for name in experiment.pool_scorers(wildcards.selection)]


def selection_model(wildcards):
    return tokenizer_model(experiment.pool_mixture(wildcards.selection))


def selection_tokenizer_files(wildcards):
    return tokenizer_files(selection_model(wildcards))


def selection_tokenizer_path(wildcards, input):
    return model_path(input.tokenizer_files, selection_model(wildcards))


def what_if_selections():
    """Every best-of-n selection and seed with its files; of one pool all judges' scores are read."""
    found = []
    for name in experiment.selections_of("paper"):
        entry = config["selections"][name]
        if entry["pick"] != "best":
            continue
        run, decoding = entry["pool"]["run"], entry["pool"]["decoding"]
        judges = experiment.pool_judges(run, decoding)
        for seed in experiment.selection_seeds(name):
            tail = f"samples/{run}/seed-{seed}/{decoding}"
            files = [f"{tail}/{scorer}.parquet" for scorer in [*judges, *config["metrics"]]]
            found.append(
                {
                    "name": name,
                    "seed": seed,
                    "spec": entry,
                    "samples": in_results(f"{tail}.parquet"),
                    "mixture": in_results(
                        f"mixtures/{experiment.pool_mixture(name)}/train.parquet"
                    ),
                    "scores": [in_results(f"scores/{file}") for file in files],
                }
            )
    return found


def in_results(path):
    """Return a path below the experiment's results, where params need it written out."""
    return f"results/{config['experiment']}/{path}"


def what_if_pools():
    entries = what_if_selections()
    return list(dict.fromkeys(entry[key] for entry in entries for key in ("samples", "mixture")))


def what_if_scores():
    return list(dict.fromkeys(path for entry in what_if_selections() for path in entry["scores"]))


# ---------------------------------------------------------------- validate


def labels_folder(name):
    """Return the folder of public human labels below $RESET_RAW_DIR."""
    return f"{os.environ.get('RESET_RAW_DIR', 'RESET_RAW_DIR-is-not-set')}/{name}"


def summac_metrics():
    return [name for name, spec in config["metrics"].items() if spec["kind"] == "summac"]


def faithfulness_metrics():
    """The metrics that compare an answer with its context by a model."""
    return {
        name: {key: value for key, value in spec.items() if key not in METRIC_MEANS}
        for name, spec in config["metrics"].items()
        if spec["kind"] in ("summac", "classifier")
    }


# ---------------------------------------------------------------- metrics


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


# ---------------------------------------------------------------- figures


def first_stage(pipeline):
    """The run that a pipeline's second stage starts from."""
    return config["runs"][config["tables"]["tradeoffs"][pipeline]["run"]]["base"]


EXTRACTIVE_METRICS = ["span_coverage", "unigram_coverage", "bigram_coverage", "exact_match"]
ABSTRACTIVE_METRICS = ["summac_zs_entailment", "summac_zs", "rouge_l"]
ABSTRACTIVE_KINDS = ["abstractive_qa", "summarization"]


def stage_figures():
    """The paper's figures of one run by test set, by their labels."""
    if "cd-to-if" not in config["tables"]["tradeoffs"]:
        return {}
    first = {"run": first_stage("cd-to-if")}
    second = {"run": config["tables"]["tradeoffs"]["cd-to-if"]["run"]}
    extractive = {"kinds": ["extractive_qa"], "metrics": EXTRACTIVE_METRICS}
    abstractive = {"kinds": ABSTRACTIVE_KINDS, "metrics": ABSTRACTIVE_METRICS}
    alignment = {"kinds": ["instruction"], "metrics": ["instruction_following"]}
    lengths = {"kinds": ABSTRACTIVE_KINDS, "metrics": ["n_tokens"]}
    context, instruction = "Tuned on context data", "CD→IF, tuned on instruction data"
    return {
        "paper_quandary_stage_1": first | extractive | {"title": f"{context}: extractive QA"},
        "paper_abstract_stage_1": first | abstractive | {"title": f"{context}: abstractive sets"},
        "paper_alignment_stage_1": first | alignment | {"title": f"{context}: instruction sets"},
        "paper_qa_summ_stage_2": second | extractive | {"title": f"{instruction}: extractive QA"},
        "paper_abstract_stage_2": second | abstractive | {"title": f"{instruction}: abstractive"},
        "paper_alignment_stage_2": second | alignment | {"title": f"{instruction}: instructions"},
        "paper_seq_length_abstract_stage_2": second | lengths | {"title": f"{instruction}: length"},
    }


STAGE_FIGURES = stage_figures()
CHANGE_DOCUMENTS = {
    "first_pip_example": {
        "pipeline": "cd-to-if",
        "family": "faithfulness",
        "title": "CD→IF: a context answer before and after instruction tuning",
    },
    "second_pip_example": {
        "pipeline": "if-to-cd",
        "family": "instruction_following",
        "title": "IF→CD: an instruction answer before and after context tuning",
    },
}
CHANGE_DOCUMENTS = {
    name: entry
    for name, entry in CHANGE_DOCUMENTS.items()
    if entry["pipeline"] in config["tables"]["tradeoffs"]
}


def change_run(wildcards):
    pipeline = CHANGE_DOCUMENTS[wildcards.document]["pipeline"]
    return config["tables"]["tradeoffs"][pipeline]["run"]


def change_seed(wildcards):
    return experiment.seeds(change_run(wildcards))[0]


def change_side(checkpoint):
    """Return the function that names the answers of a pipeline's run, under its first seed."""

    def read(wildcards):
        point = experiment.point(change_run(wildcards), change_seed(wildcards), checkpoint)
        pattern = "<results>/generations/{run}/seed-{seed}/{checkpoint}.parquet"
        return in_point(point.source, pattern)

    return read


def change_systems(wildcards):
    run = change_run(wildcards)
    return [f"{run}, start", f"{run}, best"]


def evaluation_prompt(wildcards):
    prompt = config["judges"][config["evaluation"]["judge"]]["prompt"]
    return resource(f"prompts/{prompt}.yaml")


# ---------------------------------------------------------------- report


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


# ---------------------------------------------------------------- miniature


def mini_source(key):
    """Return the function that reads one key of a miniature source."""

    def read(wildcards):
        return experiment.datasets[wildcards.dataset]["source"][key]

    return read


def say_what_scores_mean():
    """Warn after a run whose models are random: its rows are real and its scores are not."""
    if built_model_files():
        name = config["experiment"]
        logger.warning(
            f"The scores in results/{name} mean nothing: the models of this experiment are small "
            "and start from random weights. Its rows and their accounting are real."
        )


# ---------------------------------------------------------------- plan


def judge_prompts():
    """The prompts of all judges by name."""
    return {
        name: resource(f"prompts/{judge['prompt']}.yaml")
        for name, judge in config["judges"].items()
    }


def asked_gpus():
    """The GPUs and nodes that a profile or the command line sets, by rule."""
    settings = workflow.resource_settings.overwrite_resources
    return {
        name: {
            key: resources[key].value
            for key in ("gpu", "gpus_per_node", "nodes")
            if key in resources
            and not resources[key].is_evaluable()
            and isinstance(resources[key].value, int)
        }
        for name, resources in settings.items()
    }


def show_verdicts():
    """Print what preflight found where it ran as a job of a cluster, whose log nobody sees."""
    if workflow.non_local_exec and any(job.rule.name == "preflight" for job in workflow.dag.jobs):
        logger.info(Path(in_results("logs/preflight.log")).read_text())


# ---------------------------------------------------------------- targets


def raw_files(wildcards):
    return [f"<raw>/{dataset}/manifest.json" for dataset in experiment.datasets]


def prepared_files(wildcards):
    mixtures = [
        f"<results>/mixtures/{mixture}/{name}"
        for mixture in used_mixtures()
        for name in ("train.parquet", "validation.parquet", "ledger.csv")
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
