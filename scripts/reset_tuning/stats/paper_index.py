"""Which of our files shows each figure, table, prompt and diagram of the paper."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def index_rows(
    entries: Mapping[str, Mapping[str, Any]], files: Sequence[Path], root: Path
) -> list[dict[str, Any]]:
    """Return the rows of metrics/paper_index.csv.

    `entries` are resources/paper_index.yaml (label → kind, shows, files below `root`); `files` are
    those that were made. A configuration may lack some, as prompts of datasets that it disables.
    """
    made = {str(path.relative_to(root)) for path in files}
    return [
        {
            "label": label,
            "kind": entry["kind"],
            "shows": entry["shows"],
            "file": file,
            "made": file in made,
        }
        for label, entry in entries.items()
        for file in entry["files"]
    ]
