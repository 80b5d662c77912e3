# Input and parameter functions of miniature.smk.


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
