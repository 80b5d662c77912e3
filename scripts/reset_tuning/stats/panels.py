"""Scores of single examples as arrays: for each test set and metric, evaluations x examples."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from reset_tuning.experiment import UNTRAINED_SEED
from reset_tuning.stats.points import CHECKPOINTS, POINT, SOURCE, point_frame
from reset_tuning.stats.quantities import Array, Hole, Quantity, pooled_mean
from reset_tuning.tables import read_table

LENGTH_METRIC = "n_tokens"
LENGTH_SCORER = "generation"

PanelKey = tuple[str, str, str]
Evaluation = tuple[str, int, str]


@dataclass(frozen=True)
class Dataset:
    """A test set of the experiment; its role is seen (trained on by some run) or unseen."""

    name: str
    kind: str
    role: str


def score_range(metric: str) -> tuple[float, float]:
    """Return the least and the largest value that a metric can have.

    Shares, ratings on either scale and probabilities of classifiers are all in [0, 1].
    """
    ranges = {LENGTH_METRIC: (0.0, np.inf), "summac_zs": (-1.0, 1.0)}
    return ranges.get(metric, (0.0, 1.0))


class Panels:
    """All scores of an experiment's test sets, asked by run, checkpoint, test set and metric."""

    def __init__(self, scores: pd.DataFrame, points: pd.DataFrame) -> None:
        """Arrange rows of the table example_scores; `points` as of point_frame.

        Order of test sets: as in `scores`, where they stand in the order of the config.
        """
        sets = scores[["dataset", "kind", "role"]].drop_duplicates("dataset")
        self.datasets = [Dataset(*row) for row in sets.itertuples(index=False)]
        names = scores[POINT].drop_duplicates()
        self._evaluations: dict[Evaluation, int] = {
            (run, seed, checkpoint): row
            for row, (run, seed, checkpoint) in enumerate(names.itertuples(index=False))
        }
        self._arrays, self._statuses, self._scored = self._arrange(scores)
        self._sources = {
            key: list(zip(group["seed"], group[SOURCE].itertuples(index=False), strict=True))
            for key, group in points.sort_values("seed").groupby(["run", "checkpoint"])
        }

    def _arrange(
        self, scores: pd.DataFrame
    ) -> tuple[dict[PanelKey, Array], dict[PanelKey, pd.DataFrame], dict[PanelKey, set[int]]]:
        order = pd.Series(self._evaluations)
        keys = pd.MultiIndex.from_frame(scores[POINT])
        rows = order.reindex(keys).to_numpy()
        arrays, statuses, scored = {}, {}, {}
        columns = {
            name: pd.Index(np.unique(ids.to_numpy(dtype=object)))
            for name, ids in scores.groupby("dataset", sort=False)["example_id"]
        }
        grouped = scores.groupby(["dataset", "metric", "scorer"], sort=False).indices
        ids = scores["example_id"].to_numpy(dtype=object)
        values = scores["value"].to_numpy(dtype=float)
        status = scores["status"].to_numpy(dtype=object)
        for key, places in grouped.items():
            index = columns[key[0]]
            array = np.full((len(order), len(index)), np.nan)
            array[rows[places], index.get_indexer(ids[places])] = values[places]
            arrays[key] = array
            scored[key] = set(rows[places].tolist())
            lost = places[np.isnan(values[places])]
            statuses[key] = pd.DataFrame({"row": rows[lost], "status": status[lost]})
        return arrays, statuses, scored

    # ---------------------------------------------------------------- what there is

    @property
    def keys(self) -> list[PanelKey]:
        """Every (test set, metric, scorer) that has scores, by test set and in sorted order."""
        place = {dataset.name: number for number, dataset in enumerate(self.datasets)}
        return sorted(self._arrays, key=lambda key: (place[key[0]], *key[1:]))

    @property
    def systems(self) -> list[tuple[str, str]]:
        """Every (run, checkpoint) that has a point, sorted."""
        return sorted(self._sources)

    def checkpoints(self, run: str) -> list[str]:
        """Return where a run is evaluated, in order; the start, to compare with, in any case."""
        return [at for at in CHECKPOINTS if at == "start" or (run, at) in self._sources]

    # ---------------------------------------------------------------- quantities

    def mean(self, run: str, checkpoint: str, key: PanelKey) -> Quantity:
        """Return the mean score of a system on a test set, for each seed.

        Raises Hole with the reason when there are no such scores. Seeds that were not evaluated
        are left out with a note; a seed of which no output counts empties the number.
        """
        seeds, array, notes = self.scores(run, checkpoint, key)
        if np.isnan(array).all(axis=1).any():
            failed = float(np.isnan(array).sum(axis=1).mean())
            raise Hole(self._no_score(run, checkpoint, key, array), failed)
        found = pooled_mean({key[0]: array}, seeds, score_range(key[1]))
        return replace(found, notes=notes)

    def scores(
        self, run: str, checkpoint: str, key: PanelKey
    ) -> tuple[tuple[int, ...], Array, tuple[str, ...]]:
        """Return seeds (none for an untrained model), scores (seeds or 1, examples) and notes.

        Raises Hole as `mean` does when no seed was scored.
        """
        if (run, checkpoint) not in self._sources:
            raise Hole(f"{run} is not evaluated at {checkpoint}")
        sources = self._sources[run, checkpoint]
        if key not in self._arrays:
            raise Hole(f"no system has scores of {key[1]} by {key[2]} on {key[0]}")
        places = {seed: self._evaluations.get(tuple(source)) for seed, source in sources}
        scored = self._scored[key]
        found = {seed: row for seed, row in places.items() if row in scored}
        if not found:
            raise Hole(f"{run} at {checkpoint} has no scores of {key[1]} on {key[0]}")
        missing = ", ".join(str(seed) for seed in sorted(set(places) - set(found)))
        notes = (f"no scores of seed {missing}",) if missing else ()
        if all(source[1] == UNTRAINED_SEED for _, source in sources):
            return (), self._arrays[key][[next(iter(found.values()))]], notes
        return tuple(found), self._arrays[key][list(found.values())], notes

    def _no_score(self, run: str, checkpoint: str, key: PanelKey, array: Array) -> str:
        lost = self._statuses[key]
        rows = {
            self._evaluations.get(tuple(source)) for _, source in self._sources[run, checkpoint]
        }
        counts = lost.loc[lost["row"].isin(rows), "status"].str.split(":").str[0].value_counts()
        causes = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
        n_empty = int(np.isnan(array).all(axis=1).sum())
        where = "" if len(array) == 1 else f" under {n_empty} of {len(array)} seeds"
        return f"no output of {key[0]} has a {key[1]}{where} ({causes})"


def read_panels(files: Iterable[Path], points: Sequence[Mapping[str, Any]]) -> Panels:
    """Read tables of example scores; rows that two of them share count once."""
    frames = [read_table(path, "example_score") for path in files]
    rows = pd.concat(frames, ignore_index=True)
    if len(frames) > 1:
        rows = rows.drop_duplicates(["run", "seed", "checkpoint", "example_id", "metric", "scorer"])
    return Panels(rows, point_frame(points))
