"""Faults of a configuration: each is one sentence that names the key and what is allowed."""

import copy
from typing import Any

import pytest
import yaml

from helpers import ROOT
from reset_tuning.config import merged, normalise
from reset_tuning.errors import InputError
from reset_tuning.experiment import Experiment, Weights

PAPER = yaml.safe_load((ROOT / "config.yaml").read_text())
MINI = yaml.safe_load((ROOT / "config" / "mini.yaml").read_text())
LOCAL_RAW = yaml.safe_load((ROOT / "config" / "local_raw.yaml").read_text())


def build(*overlays: dict[str, Any]) -> Experiment:
    config = copy.deepcopy(PAPER)
    for overlay in overlays:
        config = merged(config, overlay)
    normalise(config)
    return Experiment(config)


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
    "mixture and selection": ({"runs": {"mtl": {"selection": "reset"}}}, "runs.mtl", "not both"),
    "two places for one model": ({"models": {"llama-7b": {"path": "x"}}}, "models.llama-7b", ""),
    "task for an instruction set": (
        {"datasets": {"dolly": {"task": "summarize"}}},
        "datasets.dolly",
        "takes no task",
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
    "no seeds": ({"seeds": []}, "seeds", ""),
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


def test_adding_a_seed_leaves_the_resolved_runs_alone() -> None:
    before, after = build(), build({"seeds": [1, 2, 3, 4]})
    assert all(before.resolved_run(run) == after.resolved_run(run) for run in before.run_names())
    assert len(after.points()) == len(before.points()) + 15


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
    with pytest.raises(InputError, match=r"seeds.0: 'one' is not of type 'integer'"):
        build({"seeds": ["one"]})


def test_every_key_of_the_schema_of_a_registry_entry_is_documented() -> None:
    schema = yaml.safe_load((ROOT / "schemas" / "config.schema.yaml").read_text())
    for name, entry in schema["properties"].items():
        assert "description" in entry, name


def test_filter_names_of_the_schema_are_those_of_the_code() -> None:
    from reset_tuning.data.filters import FILTER_NAMES

    schema = yaml.safe_load((ROOT / "schemas" / "config.schema.yaml").read_text())
    entry = schema["properties"]["datasets"]["additionalProperties"]["properties"]["filters"]
    assert set(entry["items"]["then"]["enum"]) == set(FILTER_NAMES)


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
