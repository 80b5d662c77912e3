# Models and runs.


localrules:
    resolve_run,


rule build_local_model:
    """Make a small random Llama with a BPE tokenizer trained on the experiment's own text."""
    input:
        examples=trained_examples,
    output:
        model="<results>/models/{model}/model.safetensors",
        config="<results>/models/{model}/config.json",
        tokenizer="<results>/models/{model}/tokenizer.json",
        tokenizer_config="<results>/models/{model}/tokenizer_config.json",
    log:
        "<logs>/build_local_model/{model}.log",
    benchmark:
        "<benchmarks>/build_local_model/{model}.jsonl"
    wildcard_constraints:
        model=any_of(name for name, model in config["models"].items() if "build" in model),
    conda:
        "../envs/train.yaml"
    threads: 1
    resources:
        mem_mb=memory_mb(4000),
        runtime=minutes(30),
    params:
        spec=model_build,
    script:
        "../scripts/build_local_model.py"


rule resolve_run:
    """Write the hyper-parameters of a run; their change alone retrains it."""
    output:
        settings="<results>/runs/{run}.json",
    log:
        "<logs>/resolve_run/{run}.log",
    benchmark:
        "<benchmarks>/resolve_run/{run}.jsonl"
    wildcard_constraints:
        run=any_of(config["runs"]),
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=500,
        runtime=5,
    params:
        resolved=resolved_run,
    script:
        "../scripts/resolve_run.py"


rule train:
    """Fine-tune one run with one seed under DeepSpeed ZeRO-3; keep the best and the last weights."""
    input:
        settings="<results>/runs/{run}.json",
        train=training_rows,
        validation=validation_rows,
        base=base_files,
        deepspeed=deepspeed_file,
    output:
        best_model="<results>/checkpoints/{run}/seed-{seed}/best/model.safetensors",
        best_config="<results>/checkpoints/{run}/seed-{seed}/best/config.json",
        best_tokenizer="<results>/checkpoints/{run}/seed-{seed}/best/tokenizer.json",
        best_tokenizer_config="<results>/checkpoints/{run}/seed-{seed}/best/tokenizer_config.json",
        last_model="<results>/checkpoints/{run}/seed-{seed}/last/model.safetensors",
        last_config="<results>/checkpoints/{run}/seed-{seed}/last/config.json",
        last_tokenizer="<results>/checkpoints/{run}/seed-{seed}/last/tokenizer.json",
        last_tokenizer_config="<results>/checkpoints/{run}/seed-{seed}/last/tokenizer_config.json",
        history="<results>/checkpoints/{run}/seed-{seed}/history.csv",
        provenance="<results>/checkpoints/{run}/seed-{seed}/provenance.json",
    log:
        "<logs>/train/{run}/seed-{seed}.log",
    benchmark:
        "<benchmarks>/train/{run}/seed-{seed}.jsonl"
    wildcard_constraints:
        run=any_of(config["runs"]),
    conda:
        "../envs/train.yaml"
    threads: 8
    resources:
        **LAUNCH,
        gpu=8,
        nodes=1,
        mem_mb=training_memory,
        runtime=minutes(1440),
    params:
        run="{run}",
        seed=lambda wildcards: int(wildcards.seed),
        base_path=base_path,
    script:
        "../scripts/launch_training.py"
