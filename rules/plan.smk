# What is left to do and whether this machine can do it. Neither rule has outputs, so nothing depends on them.


localrules:
    plan,


rule plan:
    """Say what is left to do for plan.target: jobs, GPU-hours, disk, tokens, dollars, detectable effects."""
    log:
        "<logs>/plan.log",
    retries: 0  # of a profile would ask again for the same verdict
    conda:
        "../envs/plan.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=15,
    params:
        config=config,
        given=GIVEN,
        prompts=judge_prompts(),
        asked=asked_gpus(),
        results=f"results/{config['experiment']}",
    script:
        "../scripts/plan_experiment.py"


rule preflight:
    """Check GPUs, bfloat16, disk, models, data, judges' keys and versions; the profile says where."""
    log:
        "<logs>/preflight.log",
    retries: 0  # of a profile would ask again for the same verdict
    conda:
        "../envs/train.yaml"
    threads: 1
    resources:
        gpu=8,
        nodes=1,
        mem_mb=4000,
        runtime=15,
        cpu_ranks=config["launch"]["cpu_ranks"],
    params:
        config=config,
        results=f"results/{config['experiment']}",
    script:
        "../scripts/check_machine.py"
