"""Choose again from the stored pools under other weights, judges and metrics; no model is asked."""

from pathlib import Path
from typing import Any

from reset_tuning.jobs import run


def main(
    *,
    pools: Path | list[Path],
    scores: Path | list[Path],
    tokenizer_files: Path | list[Path],
    changes: Path,
    margins: Path,
    settings: Path,
    selections: list[dict[str, Any]],
    faithfulness: dict[str, str],
    task: dict[str, str],
    max_length: int,
) -> None:
    # `pools`, `scores` and `tokenizer_files` are the files that `selections` name, as the rule's
    # inputs.
    from reset_tuning.selection import Selection, token_counter
    from reset_tuning.whatif import Pool, read_pool, write_what_if

    def read(entry: dict[str, Any]) -> Pool:
        chosen = Selection.of(entry["name"], entry["spec"], faithfulness, task, max_length)
        samples, mixture = Path(entry["samples"]), Path(entry["mixture"])
        files = [Path(path) for path in entry["scores"]]
        counter = token_counter(entry["tokenizer_path"])
        return read_pool(samples, mixture, files, chosen, entry["seed"], counter)

    write_what_if(map(read, selections), changes, margins, settings)


if __name__ == "__main__":
    run(main, snakemake)
