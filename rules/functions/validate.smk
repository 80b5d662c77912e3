# Input and parameter functions of validate.smk.


def labels_folder(name):
    """Return the folder of public human labels below $RESET_RAW_DIR."""
    return f"{os.environ.get('RESET_RAW_DIR', 'RESET_RAW_DIR-is-not-set')}/{name}"


def summac_metrics():
    return [name for name, spec in config["metrics"].items() if spec["kind"] == "summac"]


def least_means(key):
    """How much every faithfulness metric scores at once, where one job runs them all."""
    specs = [config["metrics"][name] for name in faithfulness_metrics()]
    return min((spec[key] for spec in specs if key in spec), default=0)


def faithfulness_metrics():
    """The metrics that compare an answer with its context by a model."""
    return {
        name: {key: value for key, value in spec.items() if key not in METRIC_MEANS}
        for name, spec in config["metrics"].items()
        if spec["kind"] in ("summac", "classifier")
    }
