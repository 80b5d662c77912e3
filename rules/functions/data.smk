# Input and parameter functions of data.smk.

SPLIT_SUFFIXES = (".parquet", ".ledger.csv", ".overlaps.csv")
DATA_TABLES = ("data_stats", "gold_positions", "overlaps")


def source_of(wildcards):
    return experiment.source(wildcards.dataset)


def found_locally(wildcards):
    """What lies there of a local source; the job itself says what is missing, and where."""
    dataset, source = wildcards.dataset, source_of(wildcards)
    if source["type"] != "local":
        return {}
    try:
        return local_state(dataset, source, Path(config["paths"]["raw"], dataset, "manifest.json"))
    except InputError:
        return {}


def source_note(key):
    """Return the function that reads what is said of a source."""

    def read(wildcards):
        return experiment.source_note(wildcards.dataset, key)

    return read


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
