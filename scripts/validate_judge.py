"""Ask a judge about answers that people have compared, and count how often it agrees."""

from pathlib import Path
from typing import Any

from query_judge import number, reached
from reset_tuning.jobs import run


def main(
    *,
    table: Path,
    folder: str,
    judge: str,
    spec: dict[str, Any],
    prompt: dict[str, str],
    records: str,
    api_key_variable: str = "none",
    ready_minutes: str = "30",
    concurrency: str = "8",
    mode: str = "live",
    max_budget: str = "none",
    prompt_price: str = "0.0",
    completion_price: str = "0.0",
) -> None:
    from reset_tuning.judging.agreement import tabulate_judge
    from reset_tuning.judging.client import Limits
    from reset_tuning.judging.query import Policy

    price = {"prompt": float(prompt_price), "completion": float(completion_price)}
    policy = Policy(mode=mode, price=price, max_budget=number(max_budget))
    limits = Limits(concurrency=int(concurrency))
    spec = reached(spec, api_key_variable, ready_minutes)
    tabulate_judge(Path(folder), table, judge, spec, prompt, Path(records), limits, policy)


if __name__ == "__main__":
    run(main, snakemake)
