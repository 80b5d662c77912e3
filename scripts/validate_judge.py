"""Ask a judge about answers that people have compared, and count how often it agrees."""

from pathlib import Path
from typing import Any

from reset_tuning.jobs import run


def main(
    *,
    table: Path,
    folder: str,
    judge: str,
    spec: dict[str, Any],
    prompt: dict[str, str],
    resources: dict[str, Any],
) -> None:
    from reset_tuning.judging.agreement import tabulate_judge
    from reset_tuning.judging.means import Means
    from reset_tuning.planning.preflight import require_for_server

    if isinstance(spec.get("server"), dict):
        require_for_server(gpus=resources["gpu"])

    means = Means.of(resources)
    tabulate_judge(
        Path(folder), table, judge, means.reached(spec), prompt, Path(resources["records"]),
        means.limits(), means.policy(),
    )  # fmt: skip


if __name__ == "__main__":
    run(main, snakemake)
