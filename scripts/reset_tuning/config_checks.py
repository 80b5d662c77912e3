"""The checks of a configuration: its schema first, then the references between registries.

Every fault is an InputError of one sentence that names the key and the allowed values.
"""

import math
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from reset_tuning.config import CONTEXT_KINDS, TRAINING_RULES, Config, scores_of
from reset_tuning.config_schema import check_schema
from reset_tuning.errors import InputError
from reset_tuning.files import read_yaml

SOURCE_NEEDS = {
    "hub": ("id", "files"),
    "url": ("files",),
    "local": ("directory", "files"),
    "miniature": ("noise", "seed", "sizes"),
}
PROMPTS = Path(__file__).resolve().parents[2] / "resources" / "prompts"
_TEMPLATE_KEYS = ("with_input", "without_input")
_JUDGE_PROMPT_KEYS = ("system", "user")


def check_config(config: Config) -> None:
    """Check a merged configuration; raise InputError at the first fault.

    The schema catches unknown keys, wrong types and values out of range; the cross-reference
    checks catch names that no registry holds, impossible combinations and cycles of runs.
    """
    check_schema(config)
    _check_finite(config, "")
    _check_models(config)
    _check_prompts(config)
    _check_generation(config)
    _check_lengths(config)
    _check_grids(config)
    _check_datasets(config)
    _check_mixtures(config)
    _check_runs(config)
    _check_metrics(config)
    _check_selections(config)
    _check_seeds(config)
    _check_judges(config)
    _check_evaluation(config)
    _check_tables(config)
    _check_claims(config)


def _check_finite(value: Any, key: str) -> None:
    """Raise InputError for .nan anywhere, and .inf: NaN is within all bounds of a schema."""
    if isinstance(value, float) and not math.isfinite(value):
        raise InputError(f"config: {key} is {value}; write a finite number.")
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for name, item in items:
            _check_finite(item, f"{key}.{name}" if key else str(name))


def _known(config: Config, registry: str, name: str, where: str) -> None:
    _one_of(name, config[registry], where, registry)


def _one_of(name: str, allowed: Iterable[str], where: str, what: str) -> None:
    allowed = list(allowed)
    if name not in allowed:
        listed = ", ".join(allowed)
        raise InputError(f"config: {where} names {name!r}, which is not in {what}: {listed}.")


def _check_models(config: Config) -> None:
    for name, model in config["models"].items():
        places = [key for key in ("hub", "path", "build") if key in model]
        if len(places) != 1:
            found = " and ".join(places) or "none"
            raise InputError(
                f"config: models.{name} needs exactly one of hub, path and build; it has {found}."
            )


def _check_prompts(config: Config) -> None:
    """Raise InputError unless the files of prompts that are named are there, with their keys."""
    named = {"prompt.template": (config["prompt"]["template"], _TEMPLATE_KEYS)}
    for name, judge in config["judges"].items():
        named[f"judges.{name}.prompt"] = (judge["prompt"], _JUDGE_PROMPT_KEYS)
    for where, (file, keys) in named.items():
        what = f"the files of resources/prompts that hold {' and '.join(keys)}"
        _one_of(file, _prompts_with(PROMPTS, keys), where, what)


@cache
def _prompts_with(folder: Path, keys: tuple[str, ...]) -> list[str]:
    """Return the names of the YAML files in a folder that have all of these keys."""
    contents = {path.stem: read_yaml(path) for path in sorted(folder.glob("*.yaml"))}
    forms = {name: content for name, content in contents.items() if isinstance(content, dict)}
    return [name for name, form in forms.items() if all(key in form for key in keys)]


@cache
def _tasks(folder: Path) -> list[str]:
    return list(read_yaml(folder / "tasks.yaml"))


def _check_generation(config: Config) -> None:
    """Raise InputError for an endpoint without an address, or one that many models would share."""
    generation = config["generation"]
    if generation["backend"] != "endpoint":
        return
    places = [key for key in ("base_url", "server") if key in generation.get("endpoint", {})]
    if len(places) != 1:
        raise InputError(
            "config: generation.backend endpoint needs exactly one of generation.endpoint.base_url "
            f"and generation.endpoint.server; it has {' and '.join(places) or 'none'}."
        )
    _check_command("generation.endpoint.server", generation["endpoint"].get("server"))
    name = generation["endpoint"].get("model")
    parts = ("{run}", "{seed}", "{checkpoint}")
    if name is not None and places == ["base_url"] and not all(part in name for part in parts):
        raise InputError(
            f"config: generation.endpoint.model is {name!r}; it must hold {', '.join(parts)}, or "
            "one model would answer for all checkpoints."
        )


def _check_lengths(config: Config) -> None:
    longest = config["prompt"]["max_length"]
    for name, decoding in config["decodings"].items():
        if decoding["max_new_tokens"] >= longest:
            raise InputError(
                f"config: decodings.{name}.max_new_tokens is {decoding['max_new_tokens']}, which "
                f"leaves no room for a prompt in prompt.max_length {longest}."
            )


def _check_grids(config: Config) -> None:
    for name, decoding in config["decodings"].items():
        if decoding["kind"] == "grid" and not decoding["temperatures"] + decoding["top_ks"]:
            raise InputError(
                f"config: decodings.{name} draws nothing, for temperatures and top_ks are both "
                "empty; give at least one of them a value."
            )


def _check_datasets(config: Config) -> None:
    for name, dataset in config["datasets"].items():
        if (dataset["kind"] in CONTEXT_KINDS) != ("task" in dataset):
            needs = "needs a" if dataset["kind"] in CONTEXT_KINDS else "takes no"
            raise InputError(
                f"config: datasets.{name} of kind {dataset['kind']} {needs} task instruction."
            )
        if "task" in dataset:
            _one_of(
                dataset["task"],
                _tasks(PROMPTS),
                f"datasets.{name}.task",
                "resources/prompts/tasks.yaml",
            )
        _check_source(name, dataset["source"])
        _check_fractions(name, dataset)
        _check_compared_kinds(name, dataset)


def _check_source(name: str, source: Config) -> None:
    """Raise InputError unless a source has what its type needs."""
    for key in SOURCE_NEEDS[source["type"]]:
        if key not in source:
            raise InputError(
                f"config: datasets.{name}.source of type {source['type']} lacks the key {key}."
            )
    entries = [entry for files in source.get("files", {}).values() for entry in files]
    wanted = dict if source["type"] == "url" else str
    if source["type"] != "miniature" and not all(isinstance(entry, wanted) for entry in entries):
        form = "entries {url: …}" if wanted is dict else "file name patterns"
        raise InputError(
            f"config: datasets.{name}.source.files must hold {form} for type {source['type']}."
        )
    digests = (entry.get("sha256") for entry in entries if isinstance(entry, dict))
    for digest in digests:
        if digest is not None and not _is_digest(digest):
            raise InputError(
                f"config: datasets.{name}.source.files has the sha256 {digest!r}; write 64 "
                "hexadecimal digits in quotes, without which YAML may read a number."
            )


def _is_digest(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch("[0-9a-fA-F]{64}", value) is not None


def _check_fractions(name: str, dataset: Config) -> None:
    """Raise InputError when the splits of one undivided source would overlap."""
    splits = dataset["splits"]
    fractions = [split["fraction"] for split in splits.values() if "fraction" in split]
    if "all" in dataset["source"].get("files", {}) and len(fractions) < len(splits):
        raise InputError(
            f"config: datasets.{name}.source.files.all has no split of its own, so each of its "
            "splits needs a fraction."
        )
    if sum(fractions) > 1 + 1e-9:
        raise InputError(
            f"config: the fractions of datasets.{name}.splits add up to {sum(fractions):g}; "
            "more than 1 would put rows into both."
        )


def _check_compared_kinds(name: str, dataset: Config) -> None:
    """Raise InputError when the rules about training would compare with different sets."""
    options = [entry if isinstance(entry, dict) else {entry: {}} for entry in dataset["filters"]]
    kinds = [
        entry[rule].get("kinds") for entry in options for rule in TRAINING_RULES if rule in entry
    ]
    if any(sorted(one or []) != sorted(kinds[0] or []) for one in kinds):
        raise InputError(
            f"config: datasets.{name}.filters: {' and '.join(TRAINING_RULES)} look at the same "
            "training sets; give both the same `kinds`, or neither."
        )


def _check_mixtures(config: Config) -> None:
    trainable = [name for name, entry in config["datasets"].items() if "train" in entry["splits"]]
    for name, mixture in config["mixtures"].items():
        _known(config, "models", mixture["tokenizer"], f"mixtures.{name}.tokenizer")
        for set_name, datasets in mixture["sets"].items():
            for dataset in datasets:
                where = f"mixtures.{name}.sets.{set_name}"
                _one_of(dataset, trainable, where, "datasets with a train split")
        listed = [dataset for datasets in mixture["sets"].values() for dataset in datasets]
        twice = sorted({dataset for dataset in listed if listed.count(dataset) > 1})
        if twice:
            raise InputError(
                f"config: mixtures.{name}.sets lists {twice[0]} twice; a dataset belongs to one "
                "set of a mixture."
            )


def _check_runs(config: Config) -> None:
    clash = sorted(set(config["runs"]) & set(config["models"]))
    if clash:
        raise InputError(f"config: {clash[0]!r} is both a run and a model; rename one of them.")
    for name, run in config["runs"].items():
        _one_of(
            run["base"], [*config["models"], *config["runs"]], f"runs.{name}.base", "models or runs"
        )
        if ("mixture" in run) == ("selection" in run):
            raise InputError(
                f"config: runs.{name} needs either a mixture or a selection, not both."
            )
        for kind in ("mixture", "selection"):
            if kind in run:
                _known(config, f"{kind}s", run[kind], f"runs.{name}.{kind}")
    for name in config["runs"]:
        _check_no_cycle(config, name)


def _check_no_cycle(config: Config, start: str) -> None:
    """Follow bases and pools from a run; raise InputError when the run needs itself."""
    path = [start]

    def visit(name: str) -> None:
        for needed in _runs_needed(config, name):
            if needed == start:
                circle = " → ".join([*path, start])
                raise InputError(f"config: runs.{start} needs itself: {circle}.")
            if needed not in path:
                path.append(needed)
                visit(needed)
                path.pop()

    visit(start)


def _runs_needed(config: Config, name: str) -> list[str]:
    run = config["runs"].get(name, {})
    selection = config["selections"].get(run.get("selection"), {})
    needed = [run.get("base"), selection.get("pool", {}).get("run")]
    return [other for other in needed if other in config["runs"]]


def _check_metrics(config: Config) -> None:
    metrics = config["metrics"]
    if clash := sorted(set(metrics) & set(config["judges"])):
        raise InputError(
            f"config: {clash[0]!r} is both a metric and a judge, and both would write the same "
            "score files; rename one of them."
        )
    writers: dict[str, str] = {}
    for name, entry in metrics.items():
        for score in scores_of(entry):
            if score in writers:
                raise InputError(
                    f"config: metrics.{writers[score]} and metrics.{name} both write scores named "
                    f"{score}; take one of them out (set it to null), or give a classifier another "
                    "`metric`."
                )
            writers[score] = name
    for name, entry in metrics.items():
        if entry.get("architecture") == "seq2seq" and not entry.get("negative"):
            raise InputError(
                f"config: metrics.{name} is a seq2seq model and needs negative: the answers that "
                "mean the contrary of positive."
            )
    for column in ("faithfulness", "task"):
        for kind, metric in config[column].items():
            written = [score for score, name in writers.items() if rates(metrics[name], kind)]
            what = f"the scores that the metrics give to {kind}"
            _one_of(metric, written, f"{column}.{kind}", what)


def rates(metric: Config, kind: str) -> bool:
    """Tell whether a metric scores answers of a kind of data: lexical ones look for spans."""
    return (metric["kind"] == "lexical") == (kind == "extractive_qa")


def _check_selections(config: Config) -> None:
    grids = [name for name, entry in config["decodings"].items() if entry["kind"] == "grid"]
    for name, selection in config["selections"].items():
        where = f"selections.{name}"
        pool = selection["pool"]
        _known(config, "runs", pool["run"], f"{where}.pool.run")
        _one_of(pool["decoding"], grids, f"{where}.pool.decoding", "decodings of kind grid")
        _known(config, "judges", selection["judge"], f"{where}.judge")
        if selection["per_set"] > config["decodings"][pool["decoding"]]["examples_per_set"]:
            raise InputError(
                f"config: {where}.per_set is {selection['per_set']}, more than "
                f"decodings.{pool['decoding']}.examples_per_set offers."
            )


def _check_seeds(config: Config) -> None:
    """Raise InputError when a run has a seed that the runs it is made from lack."""
    for name in config["runs"]:
        for needed in _runs_needed(config, name):
            there = _seeds_of(config, needed)
            lacking = [seed for seed in _seeds_of(config, name) if seed not in there]
            if lacking:
                raise InputError(
                    f"config: runs.{name} has seed {lacking[0]}, but runs.{needed}, which it is "
                    f"made from, has {', '.join(map(str, there))}; take it out of "
                    f"runs.{name}.seeds or add it to runs.{needed}.seeds."
                )


def _seeds_of(config: Config, run: str) -> list[int]:
    return config["runs"][run].get("seeds", config["seeds"])


def _check_judges(config: Config) -> None:
    for name, judge in config["judges"].items():
        if "base_url" in judge and "server" in judge:
            raise InputError(
                f"config: judges.{name} has both base_url and server, and only one can answer; set "
                "the other to null (`server: null` for a judge at base_url)."
            )
        _check_command(f"judges.{name}.server", judge.get("server"))
        price = judge.get("price", {})
        if "max_budget" in judge and not (price.get("prompt") or price.get("completion")):
            raise InputError(
                f"config: judges.{name}.max_budget is {judge['max_budget']} dollars, but without a "
                f"judges.{name}.price nothing is known to cost any; add the price or take it out."
            )


def _check_command(key: str, server: Any) -> None:
    """Raise InputError for a server's command that would not listen where the job asks."""
    if isinstance(server, dict) and "{port}" not in server["command"]:
        raise InputError(
            f"config: {key}.command lacks {{port}}, the free port at which the job asks it; write "
            "it where the server is told its port, as in vllm serve {model} --port {port}."
        )


def _check_evaluation(config: Config) -> None:
    greedy = [name for name, entry in config["decodings"].items() if entry["kind"] == "greedy"]
    evaluation = config["evaluation"]
    _one_of(evaluation["decoding"], greedy, "evaluation.decoding", "decodings of kind greedy")
    _known(config, "judges", evaluation["judge"], "evaluation.judge")
    for judge in evaluation.get("held_out", []):
        _known(config, "judges", judge, "evaluation.held_out")
        choosing = [name for name, s in config["selections"].items() if s["judge"] == judge]
        if choosing or judge == evaluation["judge"]:
            user = f"selections.{choosing[0]}" if choosing else "evaluation.judge"
            raise InputError(
                f"config: evaluation.held_out names {judge}, which {user} uses; a judge that is "
                "held out may do nothing else."
            )


def _check_tables(config: Config) -> None:
    labels = [row["label"] for row in config["tables"]["main"]]
    twice = [label for label in labels if labels.count(label) > 1]
    if twice:
        raise InputError(
            f"config: tables.main has two rows with the label {twice[0]!r}; change one of them."
        )
    for row in config["tables"]["main"]:
        where = f"tables.main ({row['label']})"
        _one_of(row["run"], [*config["models"], *config["runs"]], where, "models or runs")
        _check_in_tables(config, row["run"], where)
        allowed = (
            ["start"] if row["run"] in config["models"] else config["runs"][row["run"]]["evaluate"]
        )
        _one_of(row["checkpoint"], allowed, where, "the checkpoints that are evaluated")
    for name, row in config["tables"]["tradeoffs"].items():
        _known(config, "runs", row["run"], f"tables.tradeoffs.{name}.run")
        _check_in_tables(config, row["run"], f"tables.tradeoffs.{name}.run")
        for checkpoint in ("start", "best"):
            evaluated = config["runs"][row["run"]]["evaluate"]
            _one_of(checkpoint, evaluated, f"tables.tradeoffs.{name}", "the run's `evaluate`")


def _check_in_tables(config: Config, run: str, where: str) -> None:
    """Raise InputError for a run whose scores no table reads, and whose row would stay a hole."""
    group = config["runs"].get(run, {}).get("group", "paper")
    if group != "paper":
        raise InputError(
            f"config: {where} names {run}, a run of group {group}, whose scores are not in the "
            f"tables; set runs.{run}.group to paper, or take the row out."
        )


def _check_claims(config: Config) -> None:
    """Check what claims compare; systems may be unknown unless statistics.strict is true.

    A claim about an unknown system is a hole with its reason in the table of claims.
    """
    for name, claim in config["claims"].items():
        for contrast in claim["contrasts"]:
            if contrast["of"] == contrast.get("minus"):
                raise InputError(
                    f"config: claims.{name} compares {contrast['of']['run']} at "
                    f"{contrast['of']['checkpoint']} with itself; change `of` or `minus`."
                )
            if contrast.get("judge", "held_out") != "held_out":
                rated = [config["evaluation"]["judge"], *config["evaluation"].get("held_out", [])]
                _one_of(contrast["judge"], rated, f"claims.{name}", "the judges of the evaluation")
            if config["statistics"]["strict"]:
                for side in ("of", "minus"):
                    known = [*config["models"], *config["runs"]]
                    run = contrast.get(side, contrast["of"])["run"]
                    _one_of(run, known, f"claims.{name}", "models or runs")
