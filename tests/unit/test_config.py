"""Faults of a configuration: each is one sentence that names the key and what is allowed."""

import copy
import re
import shutil
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from helpers import ROOT
from reset_tuning.config import CONTEXT_KINDS, SCORES, merged, normalise, reorder
from reset_tuning.config_checks import PROMPTS, rates
from reset_tuning.errors import InputError
from reset_tuning.experiment import Experiment, Weights
from reset_tuning.scoring.means import Means
from reset_tuning.scoring.scorers import MODULES

PAPER = yaml.safe_load((ROOT / "config.yaml").read_text())
MINI = yaml.safe_load((ROOT / "config" / "mini.yaml").read_text())
LOCAL_RAW = yaml.safe_load((ROOT / "config" / "local_raw.yaml").read_text())


def test_an_overlay_moves_no_entry_of_a_registry() -> None:
    overlay = {"datasets": {"wikisum": {"enabled": True}, "mine": PAPER["datasets"]["wikisum"]}}
    config = merged(overlay, copy.deepcopy(PAPER))  # as Snakemake lays config.yaml below
    assert next(iter(config["datasets"])) == "wikisum"
    normalise(config)
    reorder(config, PAPER)
    assert list(config["datasets"]) == [*PAPER["datasets"], "mine"]
    assert list(config["training"]) == sorted(PAPER["training"])


def build(*overlays: dict[str, Any]) -> Experiment:
    config = copy.deepcopy(PAPER)
    for overlay in overlays:
        config = merged(config, overlay)
    normalise(config)
    return Experiment(config)


CLASSIFIER = {
    "kind": "classifier", "metric": "minicheck", "model": "a/b", "positive": "LABEL_1",
    "architecture": "sequence_classification", "max_length": 512, "chunk_words": 350,
    "splitter": "punkt_tab", "batch_size": 32,
}  # fmt: skip
MTL = {"run": "mtl", "checkpoint": "best"}
SAME = {"column": "overall", "of": MTL, "minus": MTL, "expect": "equal", "margin": 0.1}
INSTRUCTION_SETS = ("dolly", "sharegpt", "self_instruct", "oasst1")
FAULTS = {
    "unknown top-level key": ({"sedes": [1]}, "unknown key sedes", "seeds"),
    "unknown training key": (
        {"runs": {"mtl": {"training": {"lerning_rate": 1e-5}}}},
        "unknown key runs.mtl.training.lerning_rate",
        "learning_rate",
    ),
    "misspelt dataset": (
        {"mixtures": {"context": {"sets": {"nq": ["nqq"]}}}},
        "mixtures.context.sets.nq names 'nqq'",
        "ms_marco",
    ),
    "test-only dataset in training": (
        {"mixtures": {"context": {"sets": {"nq": ["bioasq"]}}}},
        "'bioasq'",
        "datasets with a train split",
    ),
    "base that does not exist": (
        {"runs": {"mtl": {"base": "vicuna"}}},
        "runs.mtl.base names 'vicuna'",
        "vicuna-7b",
    ),
    "cycle of bases": (
        {"runs": {"llama-cd": {"base": "llama-cd-if"}}},
        "needs itself",
        "llama-cd → llama-cd-if → llama-cd",
    ),
    "cycle through a pool": (
        {"runs": {"mtl": {"base": "mtl-reset"}}},
        "needs itself",
        "mtl",
    ),
    "metric with the name of a judge": (
        {"metrics": {"gpt-4": CLASSIFIER}},
        "'gpt-4' is both a metric and a judge",
        "rename",
    ),
    "negative weight": (
        {"selections": {"reset": {"weight": -1.0}}},
        "selections.reset.weight is -1.0",
        "at least 0",
    ),
    "wrong kind": (
        {"datasets": {"nq": {"kind": "extractive"}}},
        "datasets.nq.kind is 'extractive'",
        "extractive_qa",
    ),
    "NaN as a temperature": (
        {"decodings": {"reset": {"temperatures": [0.1, float("nan")]}}},
        "decodings.reset.temperatures.1 is nan",
        "finite",
    ),
    "infinite temperature": (
        {"decodings": {"reset": {"top_k_temperature": float("inf")}}},
        "decodings.reset.top_k_temperature is inf",
        "at most 100",
    ),
    "temperature that is no number to a model": (
        {"decodings": {"reset": {"temperatures": [1e-40]}}},
        "decodings.reset.temperatures.0 is 1e-40",
        "at least 0.001",
    ),
    "top-k temperature that is no number to a model": (
        {"decodings": {"reset": {"top_k_temperature": 1e-40}}},
        "decodings.reset.top_k_temperature is 1e-40",
        "at least 0.001",
    ),
    "temperature twice, which would be one draw counted twice": (
        {"decodings": {"reset": {"temperatures": [0.7, 1, 0.7]}}},
        "decodings.reset.temperatures holds 0.7 twice",
        "each value once",
    ),
    "top-k twice": (
        {"decodings": {"reset": {"top_ks": [5, 5]}}},
        "decodings.reset.top_ks holds 5 twice",
        "each value once",
    ),
    "dataset in two sets": (
        {"mixtures": {"all": {"sets": {"more": ["dolly"]}}}},
        "mixtures.all.sets lists dolly twice",
        "one set",
    ),
    "unknown filter": (
        {"datasets": {"nq": {"filters": ["no_anwser"]}}},
        "datasets.nq.filters",
        "no_anwser",
    ),
    "two filters in one entry": (
        {"datasets": {"nq": {"filters": [{"no_answer": {}, "no_context": {}}]}}},
        "datasets.nq.filters.0 names no_answer and no_context",
        "one entry for each",
    ),
    "option of a filter that is a text": (
        {"datasets": {"sharegpt": {"filters": [{"short_response": {"words": "ten"}}]}}},
        "datasets.sharegpt.filters.0.short_response.words is 'ten'",
        "a whole number",
    ),
    "one language in place of a list": (
        {"datasets": {"oasst1": {"filters": [{"language": {"languages": "en"}}]}}},
        "datasets.oasst1.filters.0.language.languages is 'en'",
        "a list",
    ),
    "option that the filter does not take": (
        {"datasets": {"nq": {"filters": [{"no_answer": {"words": 3}}]}}},
        "datasets.nq.filters.0.no_answer",
        "",
    ),
    "kinds that are no kinds": (
        {"datasets": {"nq": {"filters": [{"seen_in_training": {"kinds": ["instructions"]}}]}}},
        "datasets.nq.filters.0.seen_in_training.kinds.0 is 'instructions'",
        "extractive_qa",
    ),
    "kinds of nothing": (
        {"datasets": {"nq": {"filters": [{"seen_in_training": {"kinds": []}}]}}},
        "datasets.nq.filters.0.seen_in_training.kinds",
        "",
    ),
    "two rules about training that compare with different sets": (
        {
            "datasets": {
                "nq": {
                    "filters": [
                        {"seen_in_training": {"kinds": ["instruction"]}},
                        "near_duplicate_of_training",
                    ]
                }
            }
        },
        "datasets.nq.filters",
        "give both the same `kinds`",
    ),
    "mixture and selection": ({"runs": {"mtl": {"selection": "reset"}}}, "runs.mtl", "not both"),
    "two places for one model": ({"models": {"llama-7b": {"path": "x"}}}, "models.llama-7b", ""),
    "task for an instruction set": (
        {"datasets": {"dolly": {"task": "summarize"}}},
        "datasets.dolly",
        "takes no task",
    ),
    "task that no file holds": (
        {"datasets": {"nq": {"task": "extract_spans"}}},
        "datasets.nq.task names 'extract_spans'",
        "resources/prompts/tasks.yaml: extract_span, answer_from_passages, summarize",
    ),
    "template that is a judge's prompt": (
        {"prompt": {"template": "judge_rating"}},
        "prompt.template names 'judge_rating'",
        "with_input and without_input: alpaca",
    ),
    "judge's prompt that is a template": (
        {"judges": {"gpt-4": {"prompt": "alpaca"}}},
        "judges.gpt-4.prompt names 'alpaca'",
        "system and user: judge_rating",
    ),
    "more selected than sampled": (
        {"selections": {"reset": {"per_set": 5000}}},
        "selections.reset.per_set",
        "5000",
    ),
    "table row that is not evaluated": (
        {"tables": {"main": [{"label": "x", "run": "mtl", "checkpoint": "last"}]}},
        "tables.main (x)",
        "'last'",
    ),
    "judge that does not exist": (
        {"evaluation": {"judge": "gpt-5"}},
        "evaluation.judge names 'gpt-5'",
        "gpt-4",
    ),
    "budget without a price": (
        {"judges": {"gpt-4": {"max_budget": 50, "price": None}}},
        "judges.gpt-4.max_budget is 50 dollars",
        "judges.gpt-4.price",
    ),
    "budget at no price": (
        {"judges": {"gpt-4": {"max_budget": 50, "price": {"prompt": 0, "completion": 0}}}},
        "judges.gpt-4.max_budget is 50 dollars",
        "judges.gpt-4.price",
    ),
    "judge at two places": (
        {"judges": {"gpt-4": {"server": "mini", "base_url": "http://127.0.0.1:8000/v1"}}},
        "judges.gpt-4 has both base_url and server",
        "`server: null`",
    ),
    "judge's command without a port": (
        {"judges": {"gpt-4": {"server": {"command": "vllm serve {model}"}}}},
        "judges.gpt-4.server.command lacks {port}",
        "--port {port}",
    ),
    "engine's command without a port": (
        {"generation": {"backend": "endpoint", "endpoint": {"server": {"command": "serve"}}}},
        "generation.endpoint.server.command lacks {port}",
        "--port {port}",
    ),
    "two metrics with the same scores": (
        {"metrics": {"summac-2": PAPER["metrics"]["summac-zs"] | {"granularity": "paragraph"}}},
        "metrics.summac-zs and metrics.summac-2 both write scores named summac_zs",
        "take one of them out",
    ),
    "classifier with another metric's scores": (
        {"metrics": {"minicheck": CLASSIFIER | {"metric": "rouge_l"}}},
        "metrics.rouge-l and metrics.minicheck both write scores named rouge_l",
        "another `metric`",
    ),
    "metric that is gone and still used": (
        {"metrics": {"rouge-l": None}},
        "task.abstractive_qa names 'rouge_l'",
        "summac_zs, summac_zs_entailment",
    ),
    "metric of another kind of data": (
        {"faithfulness": {"summarization": "span_coverage"}},
        "faithfulness.summarization names 'span_coverage'",
        "give to summarization: rouge_l",
    ),
    "grid without values": (
        {"decodings": {"reset": {"temperatures": [], "top_ks": []}}},
        "decodings.reset draws nothing",
        "at least one",
    ),
    "run of another group in the main table": (
        {"tables": {"main": [{"label": "x", "run": "mtl-3epochs", "checkpoint": "best"}]}},
        "tables.main (x) names mtl-3epochs, a run of group robustness",
        "runs.mtl-3epochs.group",
    ),
    "run of another group in the trade-off table": (
        {"tables": {"tradeoffs": {"cd-to-if": {"run": "llama-cd-3epochs"}}}},
        "tables.tradeoffs.cd-to-if.run names llama-cd-3epochs, a run of group robustness",
        "runs.llama-cd-3epochs.group",
    ),
    "two rows with one label": (
        {"tables": {"main": [*PAPER["tables"]["main"], PAPER["tables"]["main"][0]]}},
        "tables.main has two rows with the label 'Vicuna-7B zero-shot'",
        "change one",
    ),
    "system minus itself": (
        {"claims": {"reset-needs-mtl": {"contrasts": [SAME]}}},
        "claims.reset-needs-mtl compares mtl at best with itself",
        "`of` or `minus`",
    ),
    "judge's address without its scheme": (
        {"judges": {"gpt-4": {"base_url": "localhost:9/v1"}}},
        "judges.gpt-4.base_url is 'localhost:9/v1'",
        "http:// or https://",
    ),
    "engine's address without its scheme": (
        {"generation": {"backend": "endpoint", "endpoint": {"base_url": "localhost:9/v1"}}},
        "generation.endpoint.base_url is 'localhost:9/v1'",
        "http:// or https://",
    ),
    "server that does not exist": (
        {"judges": {"gpt-4": {"server": "maxi"}}},
        "judges.gpt-4.server is 'maxi'",
        "mini",
    ),
    "server without a command": (
        {"judges": {"gpt-4": {"server": {"gpus": 1}}}},
        "judges.gpt-4.server lacks the key command",
        "",
    ),
    "unknown key of a server": (
        {"judges": {"gpt-4": {"server": {"command": "serve {port}", "gpu": 1}}}},
        "unknown key judges.gpt-4.server.gpu",
        "gpus",
    ),
    "list in place of a server": (
        {"judges": {"gpt-4": {"server": ["mini"]}}},
        "judges.gpt-4.server is a list",
        "a dictionary",
    ),
    "underscore in the name of a run": (
        {"runs": {"mtl_reset": {"base": "mtl", "selection": "reset", "evaluate": ["best"]}}},
        "runs has an entry 'mtl_reset'",
        "lower-case letters and digits, in words joined by hyphens",
    ),
    "hyphen in the name of an experiment": (
        {"experiment": "my-paper"},
        "experiment is 'my-paper'",
        "joined by underscores",
    ),
    "seed with a point": ({"seeds": [1.0]}, "seeds.0 is 1.0", "a whole number"),
    "run's seed with a point": (
        {"runs": {"mtl": {"seeds": [2.0]}}},
        "runs.mtl.seeds.0 is 2.0",
        "a whole number",
    ),
    "seed that is true": ({"seeds": [True]}, "seeds.0 is True", "a whole number"),
    "seed of too many digits": (
        {"seeds": [99999999999999999999]},
        "seeds.0 is 99999999999999999999",
        "at most 4294967295",
    ),
    "size with a point": (
        {"mixtures": {"all": {"validation_size": 40.0}}},
        "mixtures.all.validation_size is 40.0",
        "a whole number",
    ),
    "no seeds": ({"seeds": []}, "seeds", ""),
    "one seed twice": (
        {"runs": {"mtl": {"seeds": [1, 1]}}},
        "runs.mtl.seeds holds 1 twice",
        "each value once",
    ),
    "seed that the base lacks": (
        {"runs": {"llama-cd-if": {"seeds": [1, 9]}}},
        "runs.llama-cd-if has seed 9, but runs.llama-cd, which it is made from, has 1, 2, 3",
        "add it to runs.llama-cd.seeds",
    ),
    "base with fewer seeds": (
        {"runs": {"llama-cd": {"seeds": [2]}}},
        "runs.llama-cd-if has seed 1, but runs.llama-cd",
        "take it out of runs.llama-cd-if.seeds",
    ),
    "seed that the pool lacks": (
        {"runs": {"reset-direct": {"seeds": [7]}}},
        "runs.reset-direct has seed 7, but runs.mtl,",
        "has 1, 2, 3",
    ),
    "unknown backend": (
        {"generation": {"backend": "tgi"}},
        "generation.backend is 'tgi'",
        "transformers, vllm, endpoint",
    ),
    "endpoint without an address": (
        {"generation": {"backend": "endpoint"}},
        "exactly one of generation.endpoint.base_url and generation.endpoint.server",
        "it has none",
    ),
    "one name for all checkpoints": (
        {"generation": {"backend": "endpoint", "endpoint": {"base_url": "http://x", "model": "m"}}},
        "generation.endpoint.model is 'm'",
        "one model would answer for all checkpoints",
    ),
    "temperature 0 in a grid": (
        {"decodings": {"reset": {"temperatures": [0.0, 0.5]}}},
        "decodings.reset.temperatures.0 is 0.0",
        "at least 0.001",
    ),
    "unknown key of a decoding": (
        {"decodings": {"reset": {"max_new_tokns": 3}}},
        "unknown key decodings.reset.max_new_tokns",
        "max_new_tokens",
    ),
    "unknown key of a metric": (
        {"metrics": {"summac-zs": {"modell": "x"}}},
        "unknown key metrics.summac-zs.modell",
        "model",
    ),
    "misspelt entry": ({"datasets": {"nqq": {"task": "summarize"}}}, "datasets.nqq", "nq, bioasq"),
    "number as text": (
        {"training": {"learning_rate": "2e-5"}},
        "training.learning_rate",
        "write a number",
    ),
    "infinite weight": ({"selections": {"reset": {"weight": float("inf")}}}, "weight", "at most"),
    "whole warm-up": ({"training": {"warmup_ratio": 1}}, "training.warmup_ratio", "less than 1"),
    "overlapping fractions": (
        {"datasets": {"nq": {"splits": {"train": {"fraction": 0.9}, "test": {"fraction": 0.9}}}}},
        "datasets.nq.splits",
        "add up to 1.8",
    ),
    "source without its key": (
        {"datasets": {"dolly": {"source": {"id": None}}}},
        "datasets.dolly.source of type hub",
        "lacks the key id",
    ),
    "patterns in place of addresses": (
        {"datasets": {"dolly": {"source": {"type": "url"}}}},
        "datasets.dolly.source.files",
        "{url: …}",
    ),
    "no room for a prompt": ({"prompt": {"max_length": 400}}, "max_new_tokens is 480", "400"),
    "every dataset of a mixture disabled": (
        {"datasets": {name: {"enabled": False} for name in INSTRUCTION_SETS}},
        "mixtures.instruction",
        "disabled",
    ),
}


@pytest.mark.parametrize(("overlay", "where", "what"), FAULTS.values(), ids=FAULTS)
def test_each_fault_is_one_sentence(overlay: dict[str, Any], where: str, what: str) -> None:
    with pytest.raises(InputError) as caught:
        build(overlay)
    sentence = str(caught.value)
    assert where in sentence and what in sentence
    assert "\n" not in sentence and sentence.endswith(".")


SERVED = {"generation": {"backend": "endpoint", "endpoint": {"base_url": "http://127.0.0.1/v1"}}}
LITERAL = {"decodings": {"reset": {"top_k_temperature": "literal"}}}


@pytest.mark.parametrize(
    "overlay",
    [{}, MINI, LOCAL_RAW, SERVED, LITERAL],
    ids=["paper", "mini", "local_raw", "served", "literal"],
)
def test_shipped_configurations_are_valid(overlay: dict[str, Any]) -> None:
    assert build(overlay).points()


def test_starts_are_read_from_the_weights_that_they_are() -> None:
    paper = build()
    assert paper.point("llama-cd-if", 2, "start").source == Weights("llama-cd", 2, "best")
    assert paper.point("vicuna-cd", 3, "start").source == Weights("vicuna-7b", 0, "start")
    assert paper.point("mtl-reset", 1, "best").source == Weights("mtl-reset", 1, "best")


def test_evaluation_matrix_of_the_paper() -> None:
    points = {(point.run, point.checkpoint) for point in build().points()}
    staged = {"llama-cd", "llama-cd-if", "vicuna-cd"}
    assert {(run, at) for run in staged for at in ("start", "best", "last")} <= points
    singles = {
        "mtl",
        "reset-direct",
        "mtl-reset",
        "mtl-reset-s",
        "control-random",
        "control-original",
    }
    assert {run for run, at in points if at == "best"} == staged | singles


def test_added_prompts_and_tasks_can_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(shutil.copytree(PROMPTS, tmp_path / "prompts"))
    shutil.copy(folder / "alpaca.yaml", folder / "chat.yaml")
    shutil.copy(folder / "judge_rating.yaml", folder / "judge_strict.yaml")
    with (folder / "tasks.yaml").open("a") as stream:
        stream.write('title: {text: "Write a title.", aligned: "title", source: ours, note: ""}\n')
    monkeypatch.setattr("reset_tuning.config_checks.PROMPTS", folder)
    added = {
        "datasets": {"wikisum": {"task": "title"}},
        "prompt": {"template": "chat"},
        "judges": {"gpt-4": {"prompt": "judge_strict"}},
    }
    assert build(added).tasks()["wikisum"] == "title"


def test_adding_a_seed_leaves_the_resolved_runs_alone() -> None:
    before, after = build(), build({"seeds": [1, 2, 3, 4]})
    assert all(before.resolved_run(run) == after.resolved_run(run) for run in before.run_names())
    assert len(after.points()) == len(before.points()) + 15


def test_a_run_may_have_fewer_seeds_than_what_it_is_made_from() -> None:
    paper = build({"runs": {"llama-cd": {"seeds": [1, 9]}, "llama-cd-if": {"seeds": [9]}}})
    assert paper.base_weights("llama-cd-if", 9) == Weights("llama-cd", 9, "best")


def test_selection_runs_validate_on_the_mixture_of_their_pool() -> None:
    paper = build()
    assert paper.validation_mixture("reset-direct") == "all"
    assert paper.base_weights("reset-direct", 1) == Weights("vicuna-7b", 0, "start")


def test_a_disabled_dataset_leaves_mixtures_and_tables() -> None:
    without = build({"datasets": {"nq": {"enabled": False}, "wikisum": {"enabled": False}}})
    assert "nq" not in without.mixtures["all"]["sets"]
    assert "wikisum" not in without.datasets_with("test")


def test_null_takes_a_key_away() -> None:
    config = {"models": {"a": {"hub": None, "path": "x"}}}
    normalise(config)
    assert config == {"models": {"a": {"path": "x"}}}


def test_texts_of_the_command_line_become_what_the_schema_wants() -> None:
    config = build(
        {
            "seeds": ["1", "2"],
            "datasets": {
                "wikisum": {"enabled": "false"},
                "nq": {"splits": {"train": {"size": "12"}}},
            },
            "plan": {"limits": {"gpu_hours": "5.5"}},
            "claims": {"mtl-closes-the-gap": "null"},
        }
    ).config
    assert config["seeds"] == [1, 2]
    assert config["datasets"]["wikisum"]["enabled"] is False
    assert config["datasets"]["nq"]["splits"]["train"]["size"] == 12
    assert config["plan"]["limits"]["gpu_hours"] == 5.5
    assert "mtl-closes-the-gap" not in config["claims"]
    with pytest.raises(InputError, match=r"seeds.0 is 'one'; it must be a whole number"):
        build({"seeds": ["one"]})


def test_every_key_of_the_schema_of_a_registry_entry_is_documented() -> None:
    schema = yaml.safe_load((ROOT / "schemas" / "config.schema.yaml").read_text())
    for name, entry in schema["properties"].items():
        assert "description" in entry, name


def test_every_definition_of_the_schema_is_used() -> None:
    text = (ROOT / "schemas" / "config.schema.yaml").read_text()
    unused = [name for name in yaml.safe_load(text)["$defs"] if f'"#/$defs/{name}"' not in text]
    assert not unused


def test_the_bottom_layer_imports_nothing_from_above() -> None:
    library = ROOT / "scripts" / "reset_tuning"
    packages = "|".join(path.parent.name for path in library.glob("*/__init__.py"))
    for name in ("config", "tables", "files", "errors", "seeds", "journal", "claims"):
        text = (library / f"{name}.py").read_text()
        assert not re.search(rf"from reset_tuning\.({packages})\b", text), name


def test_filter_names_of_the_schema_are_those_of_the_code() -> None:
    from reset_tuning.data.filters import FILTER_NAMES

    schema = yaml.safe_load((ROOT / "schemas" / "config.schema.yaml").read_text())
    entry = schema["properties"]["datasets"]["additionalProperties"]["properties"]["filters"]
    assert set(entry["items"]["then"]["enum"]) == set(FILTER_NAMES)


def test_a_metric_beside_those_that_choose_changes_no_selection() -> None:
    experiment = build({"metrics": {"minicheck": CLASSIFIER}})
    assert experiment.selection_scorers("reset") == build().pool_scorers("reset")
    assert "minicheck" in experiment.pool_scorers("reset")
    chosen = build({"metrics": {"minicheck": CLASSIFIER}, "task": {"summarization": "minicheck"}})
    assert "minicheck" in chosen.selection_scorers("reset")


def test_scores_of_the_metrics_are_those_of_the_code() -> None:
    from reset_tuning.scoring import lexical, rouge

    summac = pytest.importorskip("reset_tuning.scoring.summac")
    nothing = pd.DataFrame(columns=["output", "context", "references"])
    for module, kind in ((lexical, "lexical"), (rouge, "rouge")):
        scores, _ = module.score(nothing, {}, Means())
        assert set(scores) == set(SCORES[kind])
    assert set(summac.METRICS) == set(SCORES["summac"])


def test_kinds_of_data_of_the_metrics_are_those_of_the_code() -> None:
    pytest.importorskip("summac")
    for kind, module in MODULES.items():
        scored = [data for data in CONTEXT_KINDS if rates({"kind": kind}, data)]
        assert scored == list(import_module(module).KINDS)


def test_a_classifier_can_stand_behind_a_column() -> None:
    build({"metrics": {"minicheck": CLASSIFIER}, "faithfulness": {"summarization": "minicheck"}})


def test_rounds_of_rejection_sampling_can_follow_one_another() -> None:
    second = {
        "selections": {
            "reset-2": PAPER["selections"]["reset"]
            | {"pool": {"run": "mtl-reset", "decoding": "reset"}}
        },
        "runs": {
            "mtl-reset-2": {"base": "mtl-reset", "selection": "reset-2", "evaluate": ["best"]}
        },
    }
    assert build(second).validation_mixture("mtl-reset-2") == "all"


def test_a_mixture_that_no_run_uses_makes_nothing_seen() -> None:
    unused = PAPER["mixtures"]["context"] | {"sets": {"wikisum": ["wikisum"]}}
    splits = {"train": {}, "test": {"size": 10}}
    paper = build({"mixtures": {"unused": unused}, "datasets": {"wikisum": {"splits": splits}}})
    assert "wikisum" not in paper.seen_datasets


def test_the_order_of_keys_within_an_entry_is_no_change() -> None:
    first = {"runs": {"b": {"base": "x", "training": {"epochs": 1, "schedule": "cosine"}}, "a": {}}}
    second = {
        "runs": {"b": {"training": {"schedule": "cosine", "epochs": 1}, "base": "x"}, "a": {}}
    }
    for config in (first, second):
        config["training"] = dict(sorted({"z": 1, "y": 2}.items(), reverse=config is first))
        normalise(config)
    assert repr(first) == repr(second)
    assert list(first["runs"]) == ["b", "a"]
