"""What of a judge's entry decides its replies, and what only how it is asked."""

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from helpers import ROOT
from query_judge import reached
from reset_tuning.config import normalise
from reset_tuning.experiment import Experiment
from reset_tuning.judging.server import endpoint_name

SERVED = {"command": "vllm serve {model} --port {port}", "gpus": 2, "memory_gb": 120}


@pytest.fixture(scope="module")
def config() -> dict[str, Any]:
    config = yaml.safe_load(Path(ROOT / "config.yaml").read_text())
    normalise(config)
    return config


def spec_with(config: dict[str, Any], **values: Any) -> dict[str, Any]:
    changed = copy.deepcopy(config)
    changed["judges"]["gpt-4"] |= values
    normalise(changed)
    return Experiment(changed).judge_spec("gpt-4")


def test_how_a_judge_is_asked_is_not_what_it_replies(config: dict[str, Any]) -> None:
    usual = spec_with(config)
    for means in (
        {"api_key_variable": "ANOTHER_NAME"}, {"api_key_variable": None}, {"concurrency": 1},
        {"mode": "batch"}, {"max_budget": 5}, {"price": {"prompt": 1, "completion": 1}},
        {"canaries": False}, {"max_failure_share": 1}, {"requests_per_minute": 9},
        {"tokens_per_minute": 9}, {"scale": "rating_over_ten"},
    ):  # fmt: skip
        assert spec_with(config, **means) == usual, means
    for decisive in (
        {"model": "x"},
        {"temperature": 1},
        {"max_tokens": 9},
        {"base_url": "http://x"},
    ):
        assert spec_with(config, **decisive) != usual, decisive


def test_a_servers_machine_does_not_decide_its_replies(config: dict[str, Any]) -> None:
    usual = spec_with(config, server=SERVED)
    bigger = SERVED | {"gpus": 8, "memory_gb": 500, "ready_minutes": 90}
    assert spec_with(config, server=bigger) == usual
    assert spec_with(config, server=SERVED | {"command": "other {port}"}) != usual
    assert endpoint_name(usual) == endpoint_name({"server": SERVED})


def test_the_script_puts_back_how_the_judge_is_reached() -> None:
    spec = {"model": "m", "server": {"command": "c"}}
    found = reached(spec, "MY_KEY", "90")
    assert found["api_key_variable"] == "MY_KEY"
    assert found["server"] == {"command": "c", "ready_minutes": 90.0}
    assert reached({"server": "mini"}, "none", "30") == {"server": "mini"}
