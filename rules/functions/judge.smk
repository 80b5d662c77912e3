# Input and parameter functions of judge.smk.


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
    validating = ("validate_judge", "validate_judge_served", "validate_judge_served_on_cpu")
    asking = (*JUDGE_RULES, *validating)
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
