"""Compare the held-out figures of the rebuilt and the shipped miniature models."""

from pathlib import Path

from reset_tuning.jobs import run
from reset_tuning.tables import write_table

MODELS = ("base", "instruct", "nli")


def main(*, rebuilt: list[Path], shipped: list[Path], table: Path, threads: int = 1) -> None:
    """Write one row a probe with both figures.

    `rebuilt` and `shipped` are the weight files of base, instruct and nli, in this order.
    """
    import pandas as pd
    import torch

    from reset_tuning.mini.probe import probe_folder

    torch.set_num_threads(threads)
    sides = []
    for files in (rebuilt, shipped):
        found = [
            probe_folder(file.parent, model) for model, file in zip(MODELS, files, strict=True)
        ]
        sides.append(pd.DataFrame([row for rows in found for row in rows]))
    both = sides[0].merge(sides[1], on=["model", "probe", "n"], suffixes=("_rebuilt", "_shipped"))
    columns = {"value_rebuilt": "rebuilt", "value_shipped": "shipped"}
    write_table(both.rename(columns=columns), table, "mini_probe")


if __name__ == "__main__":
    run(main, snakemake)
