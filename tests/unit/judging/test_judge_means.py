"""What of a judge's entry decides its replies, and what only how it is asked."""

import copy
import inspect
import re
from dataclasses import asdict, fields
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

import query_judge
import validate_judge
from helpers import ROOT
from reset_tuning.config import normalise
from reset_tuning.experiment import Experiment
from reset_tuning.judging.means import Means
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


MEANS = Means(
    api_key_variable="MY_KEY", ready_minutes="90", concurrency="3", mode="batch", max_budget="5.5",
    max_failure_share="0.25", requests_per_minute="60", tokens_per_minute="none",
    prompt_price="2.0", completion_price="4.0", batch_discount="0.5",
)  # fmt: skip


def test_the_means_put_back_how_the_judge_is_reached() -> None:
    spec = {"model": "m", "server": {"command": "c"}}
    found = MEANS.reached(spec)
    assert found["api_key_variable"] == "MY_KEY"
    assert found["server"] == {"command": "c", "ready_minutes": 90.0}
    keyless = Means(**asdict(MEANS) | {"api_key_variable": "none"})
    assert keyless.reached({"server": "mini"}) == {"server": "mini"}


def test_the_text_of_resources_becomes_limits_and_policy() -> None:
    limits, policy = MEANS.limits(), MEANS.policy([{"question": "q", "answer": "a"}])
    assert limits.concurrency == 3
    assert (limits.requests_per_minute, limits.tokens_per_minute) == (60.0, None)
    assert (policy.mode, policy.max_budget, policy.max_failure_share) == ("batch", 5.5, 0.25)
    assert policy.price == {"prompt": 2.0, "completion": 4.0, "batch_discount": 0.5}
    assert len(policy.canaries) == 1 and not MEANS.policy().canaries


@pytest.mark.parametrize(
    ("file", "rule", "script"),
    [("judge.smk", "query_judge", query_judge), ("validate.smk", "validate_judge", validate_judge)],
)
def test_whoever_asks_a_judge_asks_as_the_config_says(
    file: str, rule: str, script: ModuleType
) -> None:
    text = (ROOT / "rules" / file).read_text().split(f"rule {rule}:")[1].split("\nuse rule")[0]
    given = set(re.findall(r"^        (\w+)=judge_(?:means|price)\(", text, re.MULTILINE))
    read = set(re.findall(r'resources\["(\w+)"\]', inspect.getsource(script)))
    wanted = {field.name for field in fields(Means)} | (read & {"canaries"})
    assert given == wanted
    assert read - given == {"gpu", "records"}


def test_validation_asks_by_its_means(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(
        "reset_tuning.judging.agreement.tabulate_judge", lambda *given: asked.extend(given)
    )
    validate_judge.main(
        table=tmp_path / "t.csv", folder="f", judge="j", spec={"model": "m"}, prompt={},
        resources=asdict(MEANS) | {"records": "r", "gpu": 0},
    )  # fmt: skip
    assert asked[3] == {"model": "m", "api_key_variable": "MY_KEY"}
    assert asked[-2:] == [MEANS.limits(), MEANS.policy()]
