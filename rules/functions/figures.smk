# Input and parameter functions of figures.smk.


def first_stage(pipeline):
    """The run that a pipeline's second stage starts from."""
    return config["runs"][config["tables"]["tradeoffs"][pipeline]["run"]]["base"]


EXTRACTIVE_METRICS = ["span_coverage", "unigram_coverage", "bigram_coverage", "exact_match"]
ABSTRACTIVE_METRICS = ["summac_zs_entailment", "summac_zs", "rouge_l"]
ABSTRACTIVE_KINDS = ["abstractive_qa", "summarization"]


def stage_figures():
    """The paper's figures of one run by test set, by their labels."""
    if "cd-to-if" not in config["tables"]["tradeoffs"]:
        return {}
    first = {"run": first_stage("cd-to-if")}
    second = {"run": config["tables"]["tradeoffs"]["cd-to-if"]["run"]}
    extractive = {"kinds": ["extractive_qa"], "metrics": EXTRACTIVE_METRICS}
    abstractive = {"kinds": ABSTRACTIVE_KINDS, "metrics": ABSTRACTIVE_METRICS}
    alignment = {"kinds": ["instruction"], "metrics": ["instruction_following"]}
    lengths = {"kinds": ABSTRACTIVE_KINDS, "metrics": ["n_tokens"]}
    context, instruction = "Tuned on context data", "CD→IF, tuned on instruction data"
    return {
        "paper_quandary_stage_1": first | extractive | {"title": f"{context}: extractive QA"},
        "paper_abstract_stage_1": first | abstractive | {"title": f"{context}: abstractive sets"},
        "paper_alignment_stage_1": first | alignment | {"title": f"{context}: instruction sets"},
        "paper_qa_summ_stage_2": second | extractive | {"title": f"{instruction}: extractive QA"},
        "paper_abstract_stage_2": second | abstractive | {"title": f"{instruction}: abstractive"},
        "paper_alignment_stage_2": second | alignment | {"title": f"{instruction}: instructions"},
        "paper_seq_length_abstract_stage_2": second | lengths | {"title": f"{instruction}: length"},
    }


STAGE_FIGURES = stage_figures()
CHANGE_DOCUMENTS = {
    "first_pip_example": {
        "pipeline": "cd-to-if",
        "family": "faithfulness",
        "title": "CD→IF: a context answer before and after instruction tuning",
    },
    "second_pip_example": {
        "pipeline": "if-to-cd",
        "family": "instruction_following",
        "title": "IF→CD: an instruction answer before and after context tuning",
    },
}
CHANGE_DOCUMENTS = {
    name: entry
    for name, entry in CHANGE_DOCUMENTS.items()
    if entry["pipeline"] in config["tables"]["tradeoffs"]
}


def change_run(wildcards):
    pipeline = CHANGE_DOCUMENTS[wildcards.document]["pipeline"]
    return config["tables"]["tradeoffs"][pipeline]["run"]


def change_seed(wildcards):
    return experiment.seeds(change_run(wildcards))[0]


def change_side(checkpoint):
    """Return the function that names the answers of a pipeline's run, under its first seed."""

    def read(wildcards):
        point = experiment.point(change_run(wildcards), change_seed(wildcards), checkpoint)
        pattern = "<results>/generations/{run}/seed-{seed}/{checkpoint}.parquet"
        return in_point(point.source, pattern)

    return read


def change_systems(wildcards):
    run = change_run(wildcards)
    return [f"{run}, start", f"{run}, best"]


def evaluation_prompt(wildcards):
    prompt = config["judges"][config["evaluation"]["judge"]]["prompt"]
    return resource(f"prompts/{prompt}.yaml")
