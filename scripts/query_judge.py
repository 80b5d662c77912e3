"""Ask an LLM judge about the outputs of instruction examples and store what it says, verbatim."""

from pathlib import Path
from typing import Any

from reset_tuning.files import read_yaml
from reset_tuning.jobs import listed, run

CANARIES = Path(__file__).resolve().parents[1] / "resources" / "prompts" / "canaries.yaml"


def main(
    *,
    outputs: Path,
    examples: Path | list[Path],
    judgments: Path,
    judge: str,
    spec: dict[str, Any],
    prompt: dict[str, str],
    resources: dict[str, Any],
) -> None:
    from reset_tuning.judging.means import Means
    from reset_tuning.judging.query import query_judge
    from reset_tuning.planning.preflight import require_for_server

    if isinstance(spec.get("server"), dict):
        require_for_server(gpus=resources["gpu"])

    means = Means.of(resources)
    policy = means.policy(read_yaml(CANARIES) if resources["canaries"] == "True" else ())
    examples = listed(examples)
    query_judge(
        outputs, examples, judgments, judge, means.reached(spec), prompt,
        Path(resources["records"]), means.limits(), policy,
    )  # fmt: skip


if __name__ == "__main__":
    run(main, snakemake)
