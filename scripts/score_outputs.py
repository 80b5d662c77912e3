"""Score outputs with one metric of the config: lexical, ROUGE-L, SummaC-ZS or a classifier."""

from pathlib import Path
from typing import Any

from reset_tuning.jobs import listed, run


def main(
    *,
    outputs: Path,
    examples: Path | list[Path],
    scores: Path,
    metric: str,
    spec: dict[str, Any],
    model: Path | list[Path] = (),
    sidecar: str | None = None,
    batch_size: int = 64,
    batch_tokens: int = 2048,
    threads: int = 1,
    gpu: int = 0,
    cpu_ranks: int = 1,
) -> None:
    # `model` is named by the rule alone, so that new files of a local NLI model are a reason to
    # score again; the metric itself loads the model that its spec names.
    from reset_tuning.planning.preflight import require_for_model
    from reset_tuning.scoring.means import Means
    from reset_tuning.scoring.scorers import score_outputs

    if "model" in spec:
        dtype = spec.get("dtype", "float32")
        require_for_model(spec["model"], dtype, gpus=gpu, cpu_ranks=cpu_ranks)
    examples = listed(examples)
    means = Means(
        batch_size=int(batch_size),
        batch_tokens=int(batch_tokens),
        threads=threads,
        sidecar=Path(sidecar) if sidecar else None,
    )
    score_outputs(outputs, examples, scores, metric, spec, means)


if __name__ == "__main__":
    run(main, snakemake)
