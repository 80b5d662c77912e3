# Raw files, examples, mixtures.


localrules:
    fetch_raw,


rule fetch_raw:
    """Fetch the raw files of a dataset from a hub, a URL or $RESET_RAW_DIR, with a manifest."""
    output:
        manifest="<raw>/{dataset}/manifest.json",
    log:
        "<logs>/fetch_raw/{dataset}.log",
    benchmark:
        "<benchmarks>/fetch_raw/{dataset}.jsonl"
    wildcard_constraints:
        dataset=of_source("hub", "url", "local"),
    conda:
        "../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime="4h",
        licence=source_note("licence"),
        access=source_note("access"),
    params:
        dataset="{dataset}",
        source=source_of,
        found=found_locally,
    script:
        "../scripts/fetch_raw.py"


rule prepare_split:
    """Read, filter and sample one split of a dataset; every drop and its reason is written down."""
    input:
        manifest="<raw>/{dataset}/manifest.json",
        training=compared_training_files,
    output:
        examples="<results>/data/{dataset}/{split}.parquet",
        ledger="<results>/data/{dataset}/{split}.ledger.csv",
        overlaps="<results>/data/{dataset}/{split}.overlaps.csv",
    log:
        "<logs>/prepare_split/{dataset}.{split}.log",
    benchmark:
        "<benchmarks>/prepare_split/{dataset}.{split}.jsonl"
    conda:
        "../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=memory_mb(4000),
        runtime=minutes(120),
    params:
        dataset="{dataset}",
        split="{split}",
        spec=split_spec,
        seed=0,
    script:
        "../scripts/prepare_split.py"


rule build_mixture:
    """Mix training sets: unique, fitted to the model, held out, up-sampled, rendered as prompts."""
    input:
        examples=mixture_files,
        tokenizer_files=mixture_tokenizer_files,
    output:
        train="<results>/mixtures/{mixture}/train.parquet",
        validation="<results>/mixtures/{mixture}/validation.parquet",
        ledger="<results>/mixtures/{mixture}/ledger.csv",
        duplicates=report(
            "<results>/mixtures/{mixture}/duplicates.csv",
            caption="../report/duplicates.rst",
            category="Data",
            labels={"what": "repeated instructions of mixture {mixture}", "as": "CSV"},
        ),
    log:
        "<logs>/build_mixture/{mixture}.log",
    benchmark:
        "<benchmarks>/build_mixture/{mixture}.jsonl"
    conda:
        "../envs/data.yaml"
    threads: 4
    resources:
        mem_mb=memory_mb(32000),
        runtime=minutes(180),
    params:
        mixture="{mixture}",
        spec=mixture_spec,
        tokenizer_path=mixture_tokenizer_path,
        template=TEMPLATE,
        tasks=mixture_tasks,
        max_length=config["prompt"]["max_length"],
        seed=0,
    script:
        "../scripts/build_mixture.py"


rule tabulate_data:
    """Tabulate raw, kept and used rows, roles and lengths of every dataset, and gold positions."""
    input:
        examples=split_files(".parquet"),
        ledgers=split_files(".ledger.csv"),
        train=mixture_outputs("train.parquet"),
        validation=mixture_outputs("validation.parquet"),
        tokenizer_files=statistics_tokenizer_files,
    output:
        stats=report(
            "<results>/metrics/data_stats.csv",
            caption="../report/data_stats.rst",
            category="Data",
            labels={"what": "data", "as": "CSV"},
        ),
        positions=report(
            "<results>/metrics/gold_positions.csv",
            caption="../report/gold_positions.rst",
            category="Data",
            labels={"what": "where the answer stands", "as": "CSV"},
        ),
    log:
        "<logs>/tabulate_data.log",
    benchmark:
        "<benchmarks>/tabulate_data.jsonl"
    conda:
        "../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=memory_mb(8000),
        runtime=minutes(60),
    params:
        tokenizer_path=statistics_tokenizer_path,
        template=TEMPLATE,
        tasks=TEST_TASKS,
        max_length=config["prompt"]["max_length"],
        reserved_tokens=evaluated_tokens,
        seen=experiment.seen_datasets,
    script:
        "../scripts/tabulate_data.py"


rule report_overlaps:
    """Compare every test set with every training set: equal and near-equal texts, shared n-grams."""
    input:
        tests=data_files(experiment.datasets_with("test"), "test"),
        dropped=[
            f"<results>/data/{dataset}/test.overlaps.csv"
            for dataset in experiment.datasets_with("test")
        ],
        training=data_files(experiment.datasets_with("train"), "train"),
    output:
        table=report(
            "<results>/metrics/overlaps.csv",
            caption="../report/overlaps.rst",
            category="Data",
            labels={"what": "overlaps of test and training sets", "as": "CSV"},
        ),
    log:
        "<logs>/report_overlaps.log",
    benchmark:
        "<benchmarks>/report_overlaps.jsonl"
    conda:
        "../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=memory_mb(8000),
        runtime=minutes(120),
    params:
        datasets=experiment.datasets_with("test"),
        near_duplicates=config["near_duplicates"],
    script:
        "../scripts/report_overlaps.py"


rule show_prompts:
    """Write one full prompt of each dataset and the task instructions, as the paper's appendix does."""
    input:
        examples=shown_splits(),
        tokenizer_files=statistics_tokenizer_files,
    output:
        prompts=[f"<results>/examples/prompt-{dataset}.md" for dataset in experiment.datasets],
        instructions="<results>/examples/task_instructions.md",
    log:
        "<logs>/show_prompts.log",
    benchmark:
        "<benchmarks>/show_prompts.jsonl"
    conda:
        "../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=memory_mb(4000),
        runtime=minutes(30),
    params:
        tokenizer_path=statistics_tokenizer_path,
        template=TEMPLATE,
        tasks=TASKS,
        task_entries=TASK_ENTRIES,
        task_datasets=task_users(),
        max_length=config["prompt"]["max_length"],
        reserved_tokens=evaluated_tokens,
        seed=0,
    script:
        "../scripts/show_prompts.py"
