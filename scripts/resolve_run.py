"""Write the resolved hyper-parameters of a run."""

import json
from pathlib import Path
from typing import Any

from reset_tuning.files import atomic_path
from reset_tuning.jobs import run


def main(*, settings: Path, resolved: dict[str, Any]) -> None:
    with atomic_path(settings) as temporary:
        temporary.write_text(json.dumps(resolved, indent=2, sort_keys=True) + "\n")


if __name__ == "__main__":
    run(main, snakemake)
