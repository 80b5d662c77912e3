"""The row ledger: proof that no stage loses a row without a name."""

import logging
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from reset_tuning.errors import InputError
from reset_tuning.tables import read_table

_ITEM = ["stage", "item", "split"]
_LOGGER = logging.getLogger(__name__)


def read_ledgers(ledgers: Iterable[Path]) -> pd.DataFrame:
    """Return the checked rows of all ledgers; InputError names the file that does not add up."""
    frames = []
    for path in sorted(ledgers):
        frame = read_table(path, "ledger")
        check_ledger(frame, str(path))
        frames.append(frame)
    if not frames:
        raise InputError("there are no row ledgers to collect; name at least one file")
    rows = pd.concat(frames, ignore_index=True)
    _LOGGER.info("%d ledgers, %d steps, all rows accounted for", len(frames), len(rows))
    return rows


def check_ledger(rows: pd.DataFrame, origin: str) -> None:
    """Raise InputError unless each step adds up and continues the step before.

    n_in - n_dropped = n_out, and n_in is the n_out of the step before. A step that adds rows
    (up-sampling) drops a negative number.
    """
    rows = rows.sort_values([*_ITEM, "step"], kind="stable")
    wrong = rows[rows["n_in"] - rows["n_dropped"] != rows["n_out"]]
    if len(wrong):
        row = wrong.iloc[0]
        raise InputError(
            f"{origin}: step {row['rule']!r} of {row['item']} ({row['split']}) has {row['n_in']} "
            f"rows in, {row['n_dropped']} dropped and {row['n_out']} out, which do not add up"
        )
    before = rows.groupby(_ITEM)["n_out"].shift()
    broken = rows[before.notna() & (before != rows["n_in"])]
    if len(broken):
        row = broken.iloc[0]
        raise InputError(
            f"{origin}: step {row['rule']!r} of {row['item']} ({row['split']}) takes in "
            f"{row['n_in']} rows, but the step before let out {before[row.name]:.0f}"
        )
