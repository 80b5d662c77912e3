# The miniature world: raw files in the official formats, and the rules that rebuild its models.

BUILT = "<results>/mini_models"


localrules:
    write_mini_raw,


rule write_mini_raw:
    """Write a dataset of the miniature world in the official raw format of its source."""
    output:
        manifest="<raw>/{dataset}/manifest.json",
    log:
        "<logs>/write_mini_raw/{dataset}.log",
    benchmark:
        "<benchmarks>/write_mini_raw/{dataset}.jsonl"
    wildcard_constraints:
        dataset=of_source("miniature"),
    conda:
        "../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        dataset="{dataset}",
        noise=mini_source("noise"),
        seed=mini_source("seed"),
        sizes=mini_source("sizes"),
    script:
        "../scripts/write_mini_raw.py"


rule build_mini_base:
    """Pre-train LLaMA-7B's stand-in from scratch on the miniature world's text."""
    output:
        model=f"{BUILT}/base/model.safetensors",
        config=f"{BUILT}/base/config.json",
        tokenizer=f"{BUILT}/base/tokenizer.json",
        tokenizer_config=f"{BUILT}/base/tokenizer_config.json",
    log:
        "<logs>/build_mini_base.log",
    benchmark:
        "<benchmarks>/build_mini_base.jsonl"
    conda:
        "../envs/train.yaml"
    threads: 1
    resources:
        mem_mb=3000,
        runtime=60,
    script:
        "../scripts/build_mini_base.py"


rule build_mini_instruct:
    """Tune the base on instructions: Vicuna-7B's stand-in."""
    input:
        base_model=f"{BUILT}/base/model.safetensors",
        base_config=f"{BUILT}/base/config.json",
        base_tokenizer=f"{BUILT}/base/tokenizer.json",
        base_tokenizer_config=f"{BUILT}/base/tokenizer_config.json",
    output:
        model=f"{BUILT}/instruct/model.safetensors",
        config=f"{BUILT}/instruct/config.json",
        tokenizer=f"{BUILT}/instruct/tokenizer.json",
        tokenizer_config=f"{BUILT}/instruct/tokenizer_config.json",
    log:
        "<logs>/build_mini_instruct.log",
    benchmark:
        "<benchmarks>/build_mini_instruct.jsonl"
    conda:
        "../envs/train.yaml"
    threads: 1
    resources:
        mem_mb=3000,
        runtime=60,
    script:
        "../scripts/build_mini_instruct.py"


rule build_mini_nli:
    """Train the small entailment model that SummaC-ZS uses in the miniature."""
    output:
        model=f"{BUILT}/nli/model.safetensors",
        config=f"{BUILT}/nli/config.json",
        tokenizer=f"{BUILT}/nli/tokenizer.json",
        tokenizer_config=f"{BUILT}/nli/tokenizer_config.json",
    log:
        "<logs>/build_mini_nli.log",
    benchmark:
        "<benchmarks>/build_mini_nli.jsonl"
    conda:
        "../envs/train.yaml"
    threads: 1
    resources:
        mem_mb=3000,
        runtime=60,
    script:
        "../scripts/build_mini_nli.py"


rule check_mini_models:
    """Probe the rebuilt miniature models beside the shipped ones."""
    input:
        rebuilt=[f"{BUILT}/{name}/model.safetensors" for name in ("base", "instruct", "nli")],
        shipped=[f"resources/mini/{name}/model.safetensors" for name in ("base", "instruct", "nli")],
    output:
        table=f"{BUILT}/probes.csv",
    log:
        "<logs>/check_mini_models.log",
    benchmark:
        "<benchmarks>/check_mini_models.jsonl"
    conda:
        "../envs/train.yaml"
    threads: 1
    resources:
        mem_mb=3000,
        runtime=15,
    script:
        "../scripts/check_mini_models.py"
