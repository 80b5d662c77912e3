# ReSet (Wu et al., EMNLP 2024) from raw files to final tables.
#
# Path scheme: directory = identity, file = content. <results> is results/<experiment>.
#   <raw>/<dataset>/…                                        raw files and manifest.json
#   <results>/data/<dataset>/{train,test}.parquet            filtered examples, with a ledger each
#   <results>/mixtures/<mixture>/{train,validation}.parquet  up-sampled rows as prompts
#   <results>/runs/<run>.json                                resolved hyper-parameters
#   <results>/checkpoints/<run>/seed-<seed>/{best,last}/     weights
#   <results>/generations/<run>/seed-<seed>/<checkpoint>.parquet
#   <results>/samples/<run>/seed-<seed>/<decoding>.parquet   the rejection-sampling pool
#   <results>/judgments/{generations,samples}/…/<judge>.raw.parquet
#   <results>/scores/{generations,samples}/…/<judge or metric>.parquet
#   <results>/selected/<selection>/seed-<seed>.parquet       the rows that ReSet trains on
#   <results>/metrics/*.csv  <results>/figures/*.{svg,pdf}   what the paper reports
#   <results>/examples/ labels/ validation/                  prompts in full, labelling sheets, judges beside people
#   <results>/sidecars/                                      no outputs: what was generated and scored, so that nothing is done twice
# Untrained models stand at seed-0/start. `snakemake --list-target-rules` lists the stages.

from snakemake.utils import min_version

min_version("9.20")


configfile: "config.yaml"


report: "report/workflow.rst"


include: "rules/common.smk"
include: "rules/cluster.smk"
include: "rules/functions/data.smk"
include: "rules/functions/train.smk"
include: "rules/functions/generate.smk"
include: "rules/functions/judge.smk"
include: "rules/functions/score.smk"
include: "rules/functions/select.smk"
include: "rules/functions/validate.smk"
include: "rules/functions/metrics.smk"
include: "rules/functions/figures.smk"
include: "rules/functions/report.smk"
include: "rules/functions/miniature.smk"
include: "rules/functions/plan.smk"
include: "rules/functions/targets.smk"
include: "rules/targets.smk"
include: "rules/data.smk"
include: "rules/train.smk"
include: "rules/generate.smk"
include: "rules/judge.smk"
include: "rules/score.smk"
include: "rules/select.smk"
include: "rules/validate.smk"
include: "rules/metrics.smk"
include: "rules/report.smk"
include: "rules/figures.smk"
include: "rules/miniature.smk"
include: "rules/plan.smk"


onstart:
    check_judge_keys(workflow.dag.needrun_jobs())
    refuse_second_writer(workflow.dag.needrun_jobs())
    check_generation_key(workflow.dag.needrun_jobs())


onsuccess:
    say_what_scores_mean()
    show_verdicts()


localrules:
    all,


# Every kept file by name, so that plain `snakemake` notices a deleted one.
rule all:
    """Everything that is kept: data, checkpoints, outputs, scores, tables and figures."""
    default_target: True
    input:
        kept_files,
        closing_files,
