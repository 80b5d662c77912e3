# Input and parameter functions of train.smk.


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
