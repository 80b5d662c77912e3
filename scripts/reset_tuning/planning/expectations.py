"""How many rows and tokens each stage will see: of the real files once they are there, else of
what is known about the sources (resources/planning/sources.yaml)."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow.compute as compute
import pyarrow.parquet as pq

from reset_tuning.data.prompts import INSTRUCTION_KIND
from reset_tuning.experiment import Experiment
from reset_tuning.planning.written import Written, read_written
from reset_tuning.tables import read_table

MEASURED, KNOWN, ASSUMED = "measured", "known", "assumed"
_CERTAINTY = (ASSUMED, KNOWN, MEASURED)


@dataclass(frozen=True)
class Rows:
    """Rows with their mean tokens, and on what ground: measured, known or assumed.

    `prompt` has the template, the context as it is cut, and BOS; `response` has EOS.
    """

    count: float
    prompt: float
    response: float
    basis: str

    @property
    def tokens(self) -> float:
        """Tokens of prompts and responses together."""
        return self.count * (self.prompt + self.response)

    def limited(self, most: float) -> "Rows":
        """Return at most so many of these rows."""
        return Rows(min(self.count, most), self.prompt, self.response, self.basis)


def least_certain(bases: Collection[str]) -> str:
    """Return the weakest ground among several; that of nothing is `known`."""
    return min(bases, key=_CERTAINTY.index, default=KNOWN)


def together(parts: Collection[Rows]) -> Rows:
    """Return several groups of rows as one."""
    count = sum(part.count for part in parts)
    prompt = sum(part.count * part.prompt for part in parts) / max(count, 1e-9)
    response = sum(part.count * part.response for part in parts) / max(count, 1e-9)
    return Rows(count, prompt, response, least_certain([part.basis for part in parts]))


class Expectations:
    """Rows and tokens of an experiment's splits, mixtures, selections and pools.

    `results` is the experiment's folder; files that are to be made again (`pending`) count as
    absent. `sources` is the content of resources/planning/sources.yaml.
    """

    def __init__(
        self,
        experiment: Experiment,
        results: Path,
        sources: Mapping[str, Any],
        pending: Collection[str] = (),
    ) -> None:
        self.experiment = experiment
        self.results = results
        self._sources = sources
        self._pending = set(pending)
        self._mixtures: dict[str, dict[str, Rows] | None] = {}

    def finished(self, name: str) -> Path | None:
        """Return a file below the results that is there and stays as it is, or None."""
        path = self.results / name
        return path if path.exists() and str(path) not in self._pending else None

    # ---------------------------------------------------------------- data

    def split(self, dataset: str, split: str) -> Rows:
        """Return the examples of one split of a dataset."""
        measured = self._statistics.get((dataset, split))
        rows = self._expected(dataset, split) if measured is None else measured
        path = self.finished(f"data/{dataset}/{split}.parquet")
        if measured is None and path is not None:
            count = pq.ParquetFile(path).metadata.num_rows
            rows = Rows(count, rows.prompt, rows.response, rows.basis)
        return rows

    @cached_property
    def _statistics(self) -> dict[tuple[str, str], Rows]:
        path = self.finished("metrics/data_stats.csv")
        if path is None:
            return {}
        frame = read_table(path, "data_stats").fillna(0.0)
        return {
            (row.dataset, row.split): Rows(
                row.n_used, row.mean_prompt_tokens, row.mean_response_tokens, MEASURED
            )
            for row in frame.itertuples()
        }

    def _expected(self, dataset: str, split: str) -> Rows:
        """Return what is expected of a source that was not read yet."""
        entry, known = self.experiment.datasets[dataset], self._known(dataset)
        source, wanted = entry["source"], entry["splits"][split]
        counts = known.get(split, {})
        count = counts.get("rows", known["rows"])
        if source["type"] == "miniature":
            count = source["sizes"].get(split, 0) * counts.get("kept", 1.0)
        count = min(count, wanted.get("size", count))
        longest = self.experiment.config["prompt"]["max_length"]
        response = min(known["response"], longest / 2)
        return Rows(count, min(known["prompt"], longest - response), response, known["basis"])

    def _known(self, dataset: str) -> dict[str, Any]:
        """Return what is known of a dataset; of another one than the published, of its kind."""
        entry = self.experiment.datasets[dataset]
        of_kind = {**self._sources["kinds"][entry["kind"]], "basis": ASSUMED}
        kind = entry["source"]["type"]
        table = self._sources["miniature" if kind == "miniature" else "published"]
        known = of_kind | table.get(dataset, {})
        return known | {"basis": ASSUMED} if kind == "local" else known

    @property
    def judging(self) -> Mapping[str, float]:
        """What is known of the judges' prompts and replies, and of the samples they rate."""
        types = {entry["source"]["type"] for entry in self.experiment.datasets.values()}
        table = "miniature" if "miniature" in types else "published"
        return self._sources[table]["judging"]

    # ---------------------------------------------------------------- mixtures

    def sets(self, mixture: str) -> dict[str, Rows]:
        """Return the distinct training rows of each set of a mixture."""
        if mixture not in self._mixtures:
            path = self.finished(f"mixtures/{mixture}/train.parquet")
            self._mixtures[mixture] = None if path is None else _sets_of(path)
        return self._mixtures[mixture] or self._expected_sets(mixture)

    def _expected_sets(self, mixture: str) -> dict[str, Rows]:
        spec = self.experiment.mixtures[mixture]
        sets = {
            name: together([self._usable(dataset) for dataset in datasets])
            for name, datasets in spec["sets"].items()
        }
        return {
            name: rows.limited(max(rows.count - spec["validation_size"], rows.count / 2))
            for name, rows in sets.items()
        }

    def _usable(self, dataset: str) -> Rows:
        """Return a dataset's training rows less those that mixtures drop."""
        rows = self.split(dataset, "train")
        if rows.basis == MEASURED:
            return rows
        return rows.limited(rows.count * self._known(dataset)["usable"])

    def mixture(self, mixture: str) -> Rows:
        """Return the up-sampled training rows of a mixture: each set as large as the largest."""
        sets = self.sets(mixture)
        largest = max(rows.count for rows in sets.values())
        return together(
            [Rows(largest, rows.prompt, rows.response, rows.basis) for rows in sets.values()]
        )

    # ---------------------------------------------------------------- runs

    def training(self, run: str, seed: int) -> Rows:
        """Return the rows of one epoch of a run."""
        entry = self.experiment.config["runs"][run]
        if "mixture" in entry:
            return self.mixture(entry["mixture"])
        return self.selection(entry["selection"], seed)

    def selection(self, selection: str, seed: int) -> Rows:
        """Return the rows that a selection keeps for one seed."""
        path = self.finished(f"selected/{selection}/seed-{seed}.parquet")
        if path is not None:
            return together(list(_sets_of(path).values()))
        pool = self.pool(selection)
        kept = self.experiment.config["selections"][selection]["per_set"]
        return together([rows.limited(kept) for rows in pool.values()])

    def pool(self, selection: str) -> dict[str, Rows]:
        """Return the sampled examples of each set of a selection's pool."""
        entry = self.experiment.config["selections"][selection]["pool"]
        return self.sampled(entry["run"], entry["decoding"])

    def sampled(self, run: str, decoding: str) -> dict[str, Rows]:
        """Return the examples of each set that a decoding samples with a run."""
        most = self.experiment.config["decodings"][decoding]["examples_per_set"]
        limit = self.experiment.config["decodings"][decoding]["max_new_tokens"]
        mixture = self.experiment.validation_mixture(run)
        datasets, found = self.experiment.mixtures[mixture]["sets"], {}
        for name, rows in self.sets(mixture).items():
            written = self.written_samples.mean_tokens(datasets[name])
            response = min(rows.response, limit) if written is None else written
            found[name] = Rows(min(rows.count, most), rows.prompt, response, rows.basis)
        return found

    def evaluated(self) -> dict[str, Rows]:
        """Return the examples of each test set with the tokens of their expected answers."""
        decoding = self.experiment.config["evaluation"]["decoding"]
        limit = self.experiment.config["decodings"][decoding]["max_new_tokens"]
        found = {}
        for dataset in self.experiment.datasets_with("test"):
            rows = self.split(dataset, "test")
            response = self.written_outputs.mean_tokens([dataset])
            if response is None:
                # Test sets without references tell nothing of the answers' lengths.
                response = min(rows.response or self._known(dataset)["response"], limit)
            found[dataset] = Rows(rows.count, rows.prompt, response, rows.basis)
        return found

    # ---------------------------------------------------------------- what was written already

    @cached_property
    def written_outputs(self) -> Written:
        """What checkpoints have answered to the test sets so far."""
        return self._written("generations/*/seed-*/*.parquet")

    @cached_property
    def written_samples(self) -> Written:
        """What was sampled for pools so far."""
        return self._written("samples/*/seed-*/*.parquet")

    def _written(self, pattern: str) -> Written:
        # The last weights are most often the best ones, whose answers would count twice.
        paths = (path for path in self.results.glob(pattern) if path.stem != "last")
        names = sorted(str(path.relative_to(self.results)) for path in paths)
        datasets = self.experiment.datasets
        instructions = [
            name for name, entry in datasets.items() if entry["kind"] == INSTRUCTION_KIND
        ]
        return read_written(filter(None, map(self.finished, names)), instructions)

    @property
    def distinct_share(self) -> float:
        """The share of an example's samples with a text of their own."""
        share = self.written_samples.distinct_share
        return self.judging["distinct_share"] if share is None else share

    @property
    def new_share(self) -> float:
        """The share of a checkpoint's answers that no other has given."""
        share = self.written_outputs.new_share
        return self.judging["new_share"] if share is None else share


def _sets_of(path: Path) -> dict[str, Rows]:
    """Return the distinct rows of each set of a mixture or selected table, from its columns."""
    columns = ["set", "copy", "n_prompt_tokens", "n_response_tokens"]
    table = pq.read_table(path, columns=columns)
    originals = table.filter(compute.equal(table["copy"], 0))
    means = originals.group_by("set").aggregate(
        [("copy", "count"), ("n_prompt_tokens", "mean"), ("n_response_tokens", "mean")]
    )
    return {
        row["set"]: Rows(
            row["copy_count"], row["n_prompt_tokens_mean"], row["n_response_tokens_mean"], MEASURED
        )
        for row in means.to_pylist()
    }
