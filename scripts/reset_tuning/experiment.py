"""What the configuration means: which files exist, what each one needs, who is evaluated where.

The rules ask this module; it knows nothing of Snakemake and reads no data.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from reset_tuning.config import KINDS, TRAINING_RULES, Config, scores_of
from reset_tuning.config_checks import check_config
from reset_tuning.errors import InputError

UNTRAINED_SEED = 0
CHECKPOINTS = ("start", "best", "last")
_SOURCE_KEYS = {
    "hub": ("type", "id", "revision", "files"),
    "url": ("type", "files"),
    "local": ("type", "directory", "files"),
    "miniature": ("type", "noise", "seed", "sizes"),
}
# How a judge is asked, with its defaults: changes rebuild nothing.
JUDGE_MEANS: dict[str, Any] = {
    "mode": "live",
    "api_key_variable": "none",
    "concurrency": 8,
    "canaries": True,
    "price": {},
    "max_budget": "none",
    "max_failure_share": 1.0,
    "requests_per_minute": "none",
    "tokens_per_minute": "none",
}
SERVER_MEANS: dict[str, Any] = {"gpus": 0, "memory_gb": 64, "ready_minutes": 30}
MODEL_FILES = ("model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json")


@dataclass(frozen=True)
class Weights:
    """Weights that exist on disk or on a hub: an untrained model's, or a run's best or last."""

    run: str
    seed: int
    checkpoint: str


@dataclass(frozen=True)
class Point:
    """An evaluation point of the paper and the weights that stand for it.

    The start of a run is its base: (llama-cd-if, 1, start) is read from (llama-cd, 1, best), and
    (vicuna-cd, 1, start) from (vicuna-7b, 0, start). No weights are evaluated under two names.
    """

    run: str
    seed: int
    checkpoint: str
    source_run: str
    source_seed: int
    source_checkpoint: str

    @property
    def source(self) -> Weights:
        """The weights whose outputs and scores are this point's."""
        return Weights(self.source_run, self.source_seed, self.source_checkpoint)


class Experiment:
    """Read-only view of a checked configuration."""

    def __init__(self, config: Config) -> None:
        """Check the configuration (InputError at the first fault) and drop disabled datasets."""
        check_config(config)
        self.config = config
        self.datasets: dict[str, Any] = {
            name: entry for name, entry in config["datasets"].items() if entry.get("enabled", True)
        }
        self.mixtures = {name: self._mixture(entry) for name, entry in config["mixtures"].items()}
        for run in config["runs"]:
            self._check_mixture_left(run)

    def _mixture(self, entry: dict[str, Any]) -> dict[str, Any]:
        """Return a mixture without the disabled datasets and the sets that they leave empty."""
        kept = {
            name: [dataset for dataset in members if dataset in self.datasets]
            for name, members in entry["sets"].items()
        }
        return entry | {"sets": {name: members for name, members in kept.items() if members}}

    def _check_mixture_left(self, run: str) -> None:
        mixture = self.validation_mixture(run)
        if not self.mixtures[mixture]["sets"]:
            raise InputError(
                f"config: runs.{run} trains on mixtures.{mixture}, of which every dataset is "
                "disabled; enable one or take the run out."
            )

    # ---------------------------------------------------------------- data

    def datasets_with(self, split: str) -> list[str]:
        """Return the datasets that have a split, in configuration order."""
        return [name for name, entry in self.datasets.items() if split in entry["splits"]]

    @cached_property
    def seen_datasets(self) -> list[str]:
        """Return the datasets on which some run trains: their test sets are "seen"."""
        mixtures = {self.validation_mixture(run) for run in self.config["runs"]}
        used = {name for mixture in mixtures for name in _members(self.mixtures[mixture])}
        return [name for name in self.datasets if name in used]

    def source(self, dataset: str) -> dict[str, Any]:
        """Return where a dataset's raw files come from, without keys of other source types.

        An overlay that turns a hub source into a local one inherits the hub's keys.
        """
        source = self.datasets[dataset]["source"]
        return {key: source[key] for key in _SOURCE_KEYS[source["type"]] if key in source}

    def source_note(self, dataset: str, key: str) -> str:
        """Return what is said of a source and decides no row: `licence`, `access`; "" for nothing.

        In one line. A change rebuilds nothing.
        """
        return " ".join(self.datasets[dataset]["source"].get(key, "").split())

    def split_spec(self, dataset: str, split: str) -> dict[str, Any]:
        """Return what decides the content of one split: kind, format, options, filters, sizes."""
        entry = self.datasets[dataset]
        spec = {
            "kind": entry["kind"],
            "format": entry["format"],
            "options": entry.get("options", {}),
            "filters": self._filters(dataset, split),
            "split": entry["splits"][split],
        }
        if "on_bad_row" in entry:
            spec["on_bad_row"] = entry["on_bad_row"]
        if "near_duplicate_of_training" in map(_filter_name, spec["filters"]):
            spec["near_duplicates"] = self.config["near_duplicates"]
        return spec

    def _filters(self, dataset: str, split: str) -> list[Any]:
        """Return a split's filters; training examples are not compared with the training sets."""
        listed = self.datasets[dataset]["filters"]
        if split == "test":
            return listed
        return [item for item in listed if _filter_name(item) not in TRAINING_RULES]

    def compared_training_sets(self, dataset: str, split: str) -> list[str]:
        """Return the training sets that a split is compared with: of all kinds, or of those named.

        Empty for a split whose filters compare with none.
        """
        rules = [
            item for item in self._filters(dataset, split) if _filter_name(item) in TRAINING_RULES
        ]
        kinds = {kind for item in rules for kind in _compared_kinds(item)}
        trained = self.datasets_with("train")
        return [name for name in trained if self.datasets[name]["kind"] in kinds]

    def unguarded_test_sets(self) -> list[str]:
        """Return the test sets whose filters compare them with none of the training sets."""
        tested = self.datasets_with("test") if self.datasets_with("train") else []
        return [name for name in tested if not self.compared_training_sets(name, "test")]

    def tasks(self) -> dict[str, str]:
        """Return the name of the task instruction of every context dataset."""
        return {name: entry["task"] for name, entry in self.datasets.items() if "task" in entry}

    def mixture_spec(self, mixture: str) -> dict[str, Any]:
        """Return what decides the content of a mixture besides its files and its tokenizer."""
        return self.mixtures[mixture] | {"similarity": self.config["near_duplicates"]}

    def mixture_datasets(self, mixture: str) -> list[str]:
        """Return the datasets of a mixture, in the order of its sets."""
        return list(_members(self.mixtures[mixture]))

    # ---------------------------------------------------------------- runs

    def seeds(self, run: str) -> list[int]:
        """Return the seeds of a run; an untrained model has the one evaluation `seed-0`."""
        if run in self.config["models"]:
            return [UNTRAINED_SEED]
        return self.config["runs"][run].get("seeds", self.config["seeds"])

    def root_model(self, run: str) -> str:
        """Return the model from which a run's chain of bases starts."""
        while run in self.config["runs"]:
            run = self.config["runs"][run]["base"]
        return run

    def run_names(self, group: str = "paper") -> list[str]:
        """Return the runs of a group (`paper` unless a run says otherwise)."""
        runs = self.config["runs"]
        return [name for name, run in runs.items() if run.get("group", "paper") == group]

    def base_weights(self, run: str, seed: int) -> Weights:
        """Return the weights a run starts from: its base run's best, or the untrained model."""
        base = self.config["runs"][run]["base"]
        if base in self.config["models"]:
            return Weights(base, UNTRAINED_SEED, "start")
        return Weights(base, seed, "best")

    def validation_mixture(self, run: str) -> str:
        """Return the mixture on which a run validates: its own, or that of its selection's pool."""
        entry = self.config["runs"][run]
        if "mixture" in entry:
            return entry["mixture"]
        return self.pool_mixture(entry["selection"])

    def pool_mixture(self, selection: str) -> str:
        """Return the mixture whose training rows a selection's pool draws from."""
        return self.validation_mixture(self.config["selections"][selection]["pool"]["run"])

    def resolved_run(self, run: str) -> dict[str, Any]:
        """Return everything that decides a run's training besides its files and its seed."""
        entry = self.config["runs"][run]
        model = self.config["models"][self.root_model(run)]
        kind = "mixture" if "mixture" in entry else "selection"
        return {
            "run": run,
            "base": entry["base"],
            "data": {kind: entry[kind]},
            "training": self.config["training"] | entry.get("training", {}),
            "max_length": self.config["prompt"]["max_length"],
            "dtype": model["dtype"],
            "attention": model["attention"],
        }

    # ---------------------------------------------------------------- evaluation

    def points(self, group: str = "paper") -> list[Point]:
        """Return the evaluation points of a group of runs and of the main table's models."""
        found = [
            self.point(run, seed, checkpoint)
            for run in self.run_names(group)
            for seed in self.seeds(run)
            for checkpoint in self.config["runs"][run]["evaluate"]
        ]
        models = [
            row["run"]
            for row in self.config["tables"]["main"]
            if row["run"] in self.config["models"]
        ]
        found += [
            self.point(model, UNTRAINED_SEED, "start") for model in models if group == "paper"
        ]
        return list(dict.fromkeys(found))

    def point(self, run: str, seed: int, checkpoint: str) -> Point:
        """Return an evaluation point with the weights that stand for it."""
        source = Weights(run, seed, checkpoint)
        if checkpoint == "start" and run in self.config["runs"]:
            source = self.base_weights(run, seed)
        return Point(run, seed, checkpoint, source.run, source.seed, source.checkpoint)

    def evaluated_weights(self, group: str = "paper") -> list[Weights]:
        """Return the distinct weights behind the points of a group."""
        return list(dict.fromkeys(point.source for point in self.points(group)))

    def point_records(self, group: str = "paper") -> list[dict[str, Any]]:
        """Return the points as plain dictionaries, for params."""
        return [asdict(point) for point in self.points(group)]

    def shown_runs(self) -> list[str]:
        """Return runs and models as tables list them: those of the main table, then the others."""
        main = [row["run"] for row in self.config["tables"]["main"]]
        return list(dict.fromkeys([*main, *sorted([*self.config["models"], *self.config["runs"]])]))

    # ---------------------------------------------------------------- claims

    @cached_property
    def unseen_datasets(self) -> list[str]:
        """Return the datasets with a test set on which no run trains."""
        return [name for name in self.datasets_with("test") if name not in self.seen_datasets]

    def claims_about(self, group: str) -> dict[str, Any]:
        """Return the claims that name a run of a group."""
        runs = set(self.run_names(group))
        claims = self.config["claims"]
        return {name: claim for name, claim in claims.items() if runs & _claimed_runs(claim)}

    def claim_holes(self, groups: list[str]) -> dict[str, str]:
        """Return why systems that claims name have no scores when only `groups` are built."""
        runs, models = self.config["runs"], self.config["models"]
        built = {run for group in groups for run in self.run_names(group)} | set(models)
        named = {run for claim in self.config["claims"].values() for run in _claimed_runs(claim)}
        return {run: _why_missing(run, runs.get(run)) for run in sorted(named - built)}

    def evaluation_judges(self) -> list[str]:
        """Return the judges of every evaluated checkpoint: the tables' judge comes first."""
        evaluation = self.config["evaluation"]
        return [evaluation["judge"], *evaluation.get("held_out", [])]

    def judge_spec(self, judge: str) -> dict[str, Any]:
        """Return what decides a judge's replies: not how it is asked, nor how they are read."""
        spec = self.config["judges"][judge]
        decisive = {k: value for k, value in spec.items() if k not in (*JUDGE_MEANS, "scale")}
        if self.is_served(judge):
            server = {k: v for k, v in spec["server"].items() if k not in SERVER_MEANS}
            decisive["server"] = server
        return decisive

    def judge_means(self, judge: str, key: str) -> Any:
        """Return one of JUDGE_MEANS, or of SERVER_MEANS, as the judge has it."""
        spec = self.config["judges"][judge]
        if key in SERVER_MEANS:
            server = spec["server"] if self.is_served(judge) else {}
            return server.get(key, SERVER_MEANS[key])
        return spec.get(key, JUDGE_MEANS[key])

    def is_served(self, judge: str) -> bool:
        """Say whether a judge's jobs start a server by a command, so that they need its machine."""
        return isinstance(self.config["judges"][judge].get("server"), dict)

    def evaluation_scorers(self) -> list[str]:
        """Return the score files of one evaluated checkpoint: the judges and every metric."""
        return [*self.evaluation_judges(), *self.config["metrics"]]

    def pool_scorers(self, selection: str) -> list[str]:
        """Return the score files of a selection's pool, those of metrics it does not use too."""
        return [self.config["selections"][selection]["judge"], *self.config["metrics"]]

    def selection_scorers(self, selection: str) -> list[str]:
        """Return the score files that a selection chooses by: another metric changes no choice."""
        used = {*self.config["faithfulness"].values(), *self.config["task"].values()}
        metrics = self.config["metrics"].items()
        chosen = [name for name, entry in metrics if used.intersection(scores_of(entry))]
        return [self.config["selections"][selection]["judge"], *chosen]

    def pool_judges(self, run: str, decoding: str) -> list[str]:
        """Return the judges of one pool: those of all selections that choose from it."""
        pool = {"run": run, "decoding": decoding}
        chosen = [self.config["selections"][name] for name in self.selections_of("paper")]
        judges = [entry["judge"] for entry in chosen if entry["pool"] == pool]
        return list(dict.fromkeys(judges))

    def selection_seeds(self, selection: str) -> list[int]:
        """Return the seeds for which a selection exists: those of its pool's run."""
        return self.seeds(self.config["selections"][selection]["pool"]["run"])

    def selections_of(self, group: str = "paper") -> list[str]:
        """Return the selections that the runs of a group train on."""
        chosen = [self.config["runs"][run].get("selection") for run in self.run_names(group)]
        return [name for name in self.config["selections"] if name in chosen]


def _filter_name(item: str | dict[str, Any]) -> str:
    return next(iter(item)) if isinstance(item, dict) else item


def _compared_kinds(item: str | dict[str, Any]) -> list[str]:
    options = next(iter(item.values())) if isinstance(item, dict) else {}
    return options.get("kinds", list(KINDS))


def _members(mixture: dict[str, Any]) -> Iterator[str]:
    for datasets in mixture["sets"].values():
        yield from datasets


def _claimed_runs(claim: dict[str, Any]) -> set[str]:
    """Return the runs and models that a claim's contrasts name."""
    contrasts = claim["contrasts"]
    return {spec[side]["run"] for spec in contrasts for side in ("of", "minus") if side in spec}


def _why_missing(run: str, entry: dict[str, Any] | None) -> str:
    if entry is None:
        return f"the configuration has no run or model {run}"
    group = entry["group"]
    return f"{run} is built by the target {group}, whose claims stand in {group}_claims.csv"
