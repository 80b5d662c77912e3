# Input and parameter functions of select.smk.


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
    return [
        f"{folder}/{name}.parquet" for name in experiment.selection_scorers(wildcards.selection)
    ]


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
                    "tokenizer_path": written_tokenizer_path(experiment.pool_mixture(name)),
                }
            )
    return found


def written_tokenizer_path(mixture):
    """Return a mixture's tokenizer with the experiment's results written out."""
    model = tokenizer_model(mixture)
    return model_path(tokenizer_files(model), model).replace("<results>/", in_results(""))


def what_if_pools():
    entries = what_if_selections()
    return list(dict.fromkeys(entry[key] for entry in entries for key in ("samples", "mixture")))


def what_if_scores():
    return list(dict.fromkeys(path for entry in what_if_selections() for path in entry["scores"]))


def what_if_tokenizer_files():
    names = dict.fromkeys(entry["name"] for entry in what_if_selections())
    models = dict.fromkeys(tokenizer_model(experiment.pool_mixture(name)) for name in names)
    return [path for model in models for path in tokenizer_files(model)]
