"""Training histories of all runs in one table."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from reset_tuning.errors import InputError
from reset_tuning.tables import read_table

# How fast a run was is not the same twice, so it has no place in a table of results.
_NOT_SHOWN = ("tokens", "gradient_norm", "tokens_per_second", "mfu")


def read_histories(histories: Iterable[Path]) -> pd.DataFrame:
    """Return the rows of all histories; InputError for an empty one or for none."""
    frames = []
    for path in histories:
        frame = read_table(path, "history")
        if frame.empty:
            raise InputError(f"{path} holds no evaluation; train that run again")
        frames.append(frame)
    if not frames:
        raise InputError("there are no training histories to tabulate; name at least one file")
    return pd.concat(frames, ignore_index=True)


def trajectories_table(histories: pd.DataFrame) -> pd.DataFrame:
    """Add to the histories which step was chosen and the mean perplexity over seeds at each step.

    The chosen step is the last one that was best so far (in the paper, the checkpoint of
    the lowest perplexity goes on).
    """
    chosen = histories[histories["best"]].groupby(["run", "seed"])["step"].max()
    keys = pd.MultiIndex.from_frame(histories[["run", "seed"]])
    histories = histories.drop(columns=list(_NOT_SHOWN))
    at_step = histories.groupby(["run", "step"])["perplexity"]
    return histories.assign(
        chosen=histories["step"].to_numpy() == chosen.reindex(keys).to_numpy(),
        n_seeds=at_step.transform("size"),
        perplexity_mean=at_step.transform("mean"),
        perplexity_sd=at_step.transform("std"),
    )
