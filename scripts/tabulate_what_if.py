"""Choose again from the stored pools under other weights, judges and metrics; no model is asked."""

from pathlib import Path
from typing import Any

from reset_tuning.jobs import run


def main(
    *,
    pools: Path | list[Path],
    scores: Path | list[Path],
    changes: Path,
    margins: Path,
    settings: Path,
    selections: list[dict[str, Any]],
    faithfulness: dict[str, str],
    task: dict[str, str],
) -> None:
    # `pools` and `scores` are the files that `selections` name, as the rule's inputs.
    from reset_tuning.selection import Selection
    from reset_tuning.whatif import read_pool, write_what_if

    read = []
    for entry in selections:
        spec = entry["spec"]
        selection = Selection(
            name=entry["name"],
            judge=spec["judge"],
            pick="best",
            per_set=spec["per_set"],
            weight=spec["weight"],
            across_examples=spec["across_examples"],
            faithfulness=faithfulness,
            task=task,
            cut_off=spec.get("cut_off", "keep"),
            ties=spec.get("ties", "temperature"),
        )
        files = [Path(path) for path in entry["scores"]]
        read.append(
            read_pool(
                Path(entry["samples"]), Path(entry["mixture"]), files, selection, entry["seed"]
            )
        )
    write_what_if(read, changes, margins, settings)


if __name__ == "__main__":
    run(main, snakemake)
