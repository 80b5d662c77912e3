# What the rules ask of a cluster, and what a start must not do beside jobs that still run.

# Limits of the site (docs/cluster.md): what a job that is tried again may grow to.
try:
    MAX_RUNTIME = site_number("RESET_MAX_RUNTIME", "minutes", default=24 * 60)
    MAX_MEMORY_MB = site_number("RESET_MAX_MEMORY_MB", "megabytes")
except InputError as error:
    raise WorkflowError(str(error)) from None

# SLURM warns the processes of a job by SIGUSR1 (--signal). It is meant for a training, which sets
# a handler of its own; Snakemake and its shells would die of it.
if threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)


def memory_mb(start):
    """Return the resource that asks for more memory at every attempt."""
    return lambda wildcards, attempt: grown(start, attempt, MAX_MEMORY_MB)


def minutes(start):
    """Return the resource that asks for more time at every attempt."""
    return lambda wildcards, attempt: grown(start, attempt, MAX_RUNTIME)


def training_memory(wildcards, attempt):
    """The memory of a node follows the size of its training's model, and grows at every attempt."""
    model = experiment.root_model(wildcards.run)
    try:
        parameters = ModelSizes(config["models"], {}).parameters(model)
    except OSError:  # a model's file is missing, which the plan tells better
        parameters = 7e9
    except InputError as error:
        key = "path" if "path" in config["models"][model] else "hub"
        raise WorkflowError(f"config: models.{model}.{key}: {error}.") from None
    nodes = asked_gpus().get("train", {}).get("nodes", 1)
    return grown(training_memory_mb(parameters, 8, nodes), attempt, MAX_MEMORY_MB)


def refuse_second_writer(jobs):
    """Stop before the first job when SLURM still has one of an earlier run that makes the same.

    Plan and preflight write nothing that another job does.
    """
    jobs = [job for job in jobs if job.rule.name not in ("plan", "preflight")]
    if not jobs:
        return
    journal = Path(in_results("logs/slurm_runs.txt"))
    comments = {comment_of(job.rule.name, job.wildcards) for job in jobs}
    try:
        check_no_second_writer(journal, comments)
    except InputError as error:
        raise WorkflowError(str(error)) from None
    executor = getattr(workflow.scheduler, "_executor", None)
    if run_id := getattr(executor, "run_uuid", None):
        remember_run(journal, run_id)
