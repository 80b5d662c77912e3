"""Ask an LLM judge about the outputs of instruction examples and store what it says, verbatim."""

from pathlib import Path
from typing import Any

from reset_tuning.files import read_yaml
from reset_tuning.jobs import run

CANARIES = Path(__file__).resolve().parents[1] / "resources" / "prompts" / "canaries.yaml"


def main(
    *,
    outputs: Path,
    examples: Path | list[Path],
    judgments: Path,
    judge: str,
    spec: dict[str, Any],
    prompt: dict[str, str],
    records: str,
    api_key_variable: str = "none",
    ready_minutes: str = "30",
    concurrency: str = "8",
    mode: str = "live",
    canaries: str = "False",
    max_budget: str = "none",
    max_failure_share: str = "1.0",
    requests_per_minute: str = "none",
    tokens_per_minute: str = "none",
    prompt_price: str = "0.0",
    completion_price: str = "0.0",
    batch_discount: str = "0.0",
    gpu: int = 0,
) -> None:
    from reset_tuning.judging.client import Limits
    from reset_tuning.judging.query import Policy, query_judge
    from reset_tuning.planning.preflight import require_for_server

    if isinstance(spec.get("server"), dict):
        require_for_server(spec["model"], gpus=gpu)

    limits = Limits(
        concurrency=int(concurrency),
        requests_per_minute=number(requests_per_minute),
        tokens_per_minute=number(tokens_per_minute),
    )
    price = {"prompt": prompt_price, "completion": completion_price}
    price["batch_discount"] = batch_discount
    policy = Policy(
        mode=mode,
        price={name: float(value) for name, value in price.items()},
        max_budget=number(max_budget),
        max_failure_share=float(max_failure_share),
        canaries=read_yaml(CANARIES) if canaries == "True" else (),
    )
    examples = [examples] if isinstance(examples, Path) else examples
    spec = reached(spec, api_key_variable, ready_minutes)
    query_judge(outputs, examples, judgments, judge, spec, prompt, Path(records), limits, policy)


def reached(spec: dict[str, Any], api_key_variable: str, ready_minutes: str) -> dict[str, Any]:
    """Return a judge's spec with what says how to reach it and changes no reply."""
    if api_key_variable != "none":
        spec = spec | {"api_key_variable": api_key_variable}
    if isinstance(spec.get("server"), dict):
        spec = spec | {"server": spec["server"] | {"ready_minutes": float(ready_minutes)}}
    return spec


def number(text: str) -> float | None:
    return None if text == "none" else float(text)


if __name__ == "__main__":
    run(main, snakemake)
