# Input and parameter functions of plan.smk.


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
