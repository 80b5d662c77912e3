"""Length splits (PAPER.md §5): is a change of scores only a change of length?

Outputs are divided by their number of tokens, at quantiles of all outputs of a pipeline's
checkpoints together. Scores are compared bin by bin, and the change is computed once more as if the
outputs after the second stage were as long as those before it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from reset_tuning.stats.averages import COLUMNS, Column, Headlines, column_sets
from reset_tuning.stats.bootstrap import Bootstrap
from reset_tuning.stats.cells import numbers_table
from reset_tuning.stats.panels import (
    LENGTH_METRIC,
    LENGTH_SCORER,
    PanelKey,
    Panels,
    score_range,
)
from reset_tuning.stats.quantities import Array, Hole, Quantity, combine, difference, pooled_mean

BINS = 5


@dataclass(frozen=True)
class LengthSplit:
    """One run's outputs on the test sets of a column, with their scores and lengths in tokens."""

    run: str
    seeds: Mapping[str, tuple[int, ...]]
    scores: Mapping[str, Mapping[str, Array]]  # checkpoint → test set → (seeds, examples)
    tokens: Mapping[str, Mapping[str, Array]]
    notes: Mapping[str, tuple[str, ...]]  # checkpoint → of seeds that are left out
    edges: tuple[float, ...]
    within: tuple[float, float]  # of the scores

    def bins(self) -> list[tuple[float, float]]:
        """Return the bins as (above, up to and including)."""
        return list(zip(self.edges[:-1], self.edges[1:], strict=True))

    def in_bin(self, checkpoint: str, place: int) -> Quantity:
        """Return the mean score of the outputs in one bin; Hole when some seed has none there."""
        kept = {
            name: np.where(self._places(self.tokens[checkpoint][name]) == place, scores, np.nan)
            for name, scores in self.scores[checkpoint].items()
        }
        found = pooled_mean(kept, self.seeds[checkpoint], self.within)
        return replace(found, failed=0.0, notes=self.notes[checkpoint])

    def all_lengths(self, checkpoint: str) -> Quantity:
        """Return the mean score of all outputs, each with the same weight."""
        found = pooled_mean(self.scores[checkpoint], self.seeds[checkpoint], self.within)
        return replace(found, notes=self.notes[checkpoint])

    def shares(self, checkpoint: str) -> list[float]:
        """Return the share of the scored outputs in each bin, over all seeds."""
        scored = [
            self.tokens[checkpoint][name][~np.isnan(scores)]
            for name, scores in self.scores[checkpoint].items()
        ]
        counts = np.bincount(self._places(np.concatenate(scored)), minlength=len(self.edges) - 1)
        return [float(count) / counts.sum() for count in counts]

    def _places(self, tokens: Array) -> npt.NDArray[np.intp]:
        return np.searchsorted(self.edges[1:], tokens, side="left")

    def at_equal_length(self, checkpoint: str) -> Quantity:
        """Return the change from the start as if lengths had stayed as they were at the start.

        Each bin's change counts as much as the bin holds of the outputs at the start. Bins in
        which the later checkpoint has no output under some seed cannot count, with a note.
        Raises Hole when no bin can count or the run is not evaluated at the checkpoint.
        """
        if checkpoint not in self.scores:
            raise Hole(f"{self.run} is not evaluated at {checkpoint}")
        terms, covered = [], 0.0
        for place, share in enumerate(self.shares("start")):
            try:
                change = difference(self.in_bin(checkpoint, place), self.in_bin("start", place))
            except Hole:
                continue
            terms.append((share, change))
            covered += share
        if not terms:
            raise Hole("no bin of lengths has outputs both before and after")
        found = combine([(share / covered, change) for share, change in terms])
        whole = difference(self.all_lengths(checkpoint), self.all_lengths("start"))
        found = replace(found, n=whole.n, failed=whole.failed)
        if covered < 1 - 1e-9:
            note = f"{covered:.0%} of the outputs before have lengths that occur after"
            found = replace(found, notes=(*found.notes, note))
        return found


def length_split(panels: Panels, run: str, column: Column, headlines: Headlines) -> LengthSplit:
    """Divide a run's outputs on a column's test sets, at all checkpoints that are evaluated.

    Raises Hole when one of them lacks scores, or the start is not evaluated.
    """
    sets = column_sets(panels, column, headlines)
    if not sets:
        raise Hole("no test set of this experiment belongs here")
    keys = [headlines.key(panels, dataset, column.family) for dataset in sets]
    scores: dict[str, dict[str, Array]] = {}
    tokens: dict[str, dict[str, Array]] = {}
    seeds: dict[str, tuple[int, ...]] = {}
    notes: dict[str, tuple[str, ...]] = {}
    for name in panels.checkpoints(run):
        seeds[name], found, notes[name] = _of_common_seeds(panels, run, name, keys)
        scores[name] = {key[0]: found[key] for key in keys}
        tokens[name] = {key[0]: found[_length_key(key)] for key in keys}
    pooled = [array.ravel() for at in tokens.values() for array in at.values()]
    ranges = [score_range(metric) for _, metric, _ in keys]
    within = (min(low for low, _ in ranges), max(high for _, high in ranges))
    return LengthSplit(run, seeds, scores, tokens, notes, _edges(np.concatenate(pooled)), within)


def _length_key(key: PanelKey) -> PanelKey:
    return key[0], LENGTH_METRIC, LENGTH_SCORER


def _of_common_seeds(
    panels: Panels, run: str, checkpoint: str, keys: Sequence[PanelKey]
) -> tuple[tuple[int, ...], dict[PanelKey, Array], tuple[str, ...]]:
    """Return the seeds that have all the scores, their scores and lengths, and notes on others.

    An untrained model has no seeds and one row each. Raises Hole when no seed has them all.
    """
    wanted = [*keys, *map(_length_key, keys)]
    found = {key: panels.scores(run, checkpoint, key) for key in wanted}
    seeds = [set(of_key) for of_key, _, _ in found.values()]
    common = tuple(sorted(set.intersection(*seeds)))
    if not common and any(seeds):
        raise Hole("no seed has all the scores that are needed")
    arrays = {
        key: array[[of_key.index(seed) for seed in common] or [0]]
        for key, (of_key, array, _) in found.items()
    }
    notes = dict.fromkeys(note for _, _, said in found.values() for note in said)
    return common, arrays, tuple(notes)


def _edges(lengths: Array) -> tuple[float, ...]:
    """Return bounds at quantiles of the lengths; fewer bins where many lengths are equal."""
    inner = np.quantile(lengths, np.arange(1, BINS) / BINS, method="inverted_cdf")
    kept = sorted({float(edge) for edge in inner if edge < lengths.max()})
    return (float(lengths.min()) - 1, *kept, float(lengths.max()))


def length_split_table(
    panels: Panels,
    tradeoffs: Mapping[str, Mapping[str, str]],
    headlines: Headlines,
    settings: Bootstrap,
) -> pd.DataFrame:
    """Return the table length_split: each pipeline's column of `length_split` in bins of length.

    Rows per checkpoint: the bins, `all` lengths, then the change from the start over all lengths
    and at equal length.
    """
    asked: list[tuple[dict[str, Any], Any]] = []
    for pipeline, spec in tradeoffs.items():
        column = COLUMNS[spec["length_split"]]
        identity = {"pipeline": pipeline, "label": spec["label"], "run": spec["run"]}
        identity |= {"metric": column.name}
        try:
            split = length_split(panels, spec["run"], column, headlines)
        except Hole as hole:
            missing = identity | {"checkpoint": "all", "quantity": "score", "bin": "all"}
            asked.append((missing | _tokens(), partial(_raise, hole)))
            continue
        for checkpoint in split.scores:
            asked += _checkpoint_rows(split, identity | {"checkpoint": checkpoint}, checkpoint)
    return numbers_table(asked, settings)


def without_bins(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows over all lengths: a bin that no answer falls into is no hole."""
    return table if table.empty else table[table["bin"] == "all"]


def _checkpoint_rows(
    split: LengthSplit, identity: Mapping[str, Any], checkpoint: str
) -> list[tuple[dict[str, Any], Any]]:
    score, change = {"quantity": "score"}, {"quantity": "change_vs_start"}
    rows = []
    for place, (above, up_to) in enumerate(split.bins()):
        name = {"bin": f"{above + 1:.0f} to {up_to:.0f}"} | _tokens(above + 1, up_to)
        rows.append((dict(identity) | score | name, partial(split.in_bin, checkpoint, place)))
    everything = {"bin": "all"} | _tokens()
    rows.append((dict(identity) | score | everything, partial(split.all_lengths, checkpoint)))
    if checkpoint != "start":
        raw = partial(_change, split, checkpoint)
        equal = {"bin": "at equal length"} | _tokens()
        rows.append((dict(identity) | change | everything, raw))
        rows.append((dict(identity) | change | equal, partial(split.at_equal_length, checkpoint)))
    return rows


def _tokens(least: float | None = None, most: float | None = None) -> dict[str, Any]:
    return {"from_tokens": least, "to_tokens": most}


def _change(split: LengthSplit, checkpoint: str) -> Quantity:
    return difference(split.all_lengths(checkpoint), split.all_lengths("start"))


def _raise(hole: Hole) -> Quantity:
    raise hole
