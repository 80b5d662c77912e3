# Input and parameter functions of score.smk.


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
    return folder_files(key, model) if is_folder(model) else []
