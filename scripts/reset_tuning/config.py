"""The configuration's contract: JSON schema first, then the references between registries.

Every fault is an InputError of one sentence that names the key and the allowed values.
"""

import math
from collections.abc import Iterable, Mapping
from functools import cache, reduce
from operator import getitem
from pathlib import Path
from typing import Any

import yaml

from reset_tuning.errors import InputError
from reset_tuning.files import read_yaml

Config = dict[str, Any]

ROOT = Path(__file__).resolve().parents[2]
SCHEMA_FILE = ROOT / "schemas" / "config.schema.yaml"
KINDS = ("instruction", "extractive_qa", "abstractive_qa", "summarization")
CONTEXT_KINDS = KINDS[1:]
METRICS = (
    "exact_match",
    "span_coverage",
    "span_coverage_tokens",
    "unigram_coverage",
    "bigram_coverage",
    "rouge_l",
    "summac_zs",
    "summac_zs_entailment",
)
_BOUNDS = {
    "minimum": "at least",
    "exclusiveMinimum": "more than",
    "maximum": "at most",
    "exclusiveMaximum": "less than",
}
SOURCE_NEEDS = {
    "hub": ("id", "files"),
    "url": ("files",),
    "local": ("directory", "files"),
    "miniature": ("noise", "seed", "sizes"),
}


def check_config(config: Config) -> None:
    """Check a merged configuration; raise InputError at the first fault.

    The schema catches unknown keys, wrong types and values out of range; the cross-reference
    checks catch names that no registry holds, impossible combinations and cycles of runs.
    """
    _check_schema(config)
    _check_finite(config, "")
    _check_models(config)
    _check_generation(config)
    _check_lengths(config)
    _check_datasets(config)
    _check_mixtures(config)
    _check_runs(config)
    _check_metrics(config)
    _check_selections(config)
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


def _check_schema(config: Config) -> None:
    from jsonschema.exceptions import best_match

    error = best_match(_validator().iter_errors(config))
    if error is not None:
        raise InputError(_schema_sentence(error, config))


@cache
def _validator() -> Any:
    # Imported here: it takes a quarter of a second that readers of a checked config need not pay.
    from jsonschema import Draft202012Validator

    # The loader in C where it is there: the schema is long, and every start of Snakemake reads it.
    return Draft202012Validator(read_yaml(SCHEMA_FILE))


def _schema_sentence(error: Any, config: Config) -> str:
    """Turn a jsonschema error into one sentence with the key and what is allowed there."""
    key = ".".join(str(part) for part in error.absolute_path)
    if error.validator == "additionalProperties":
        allowed = sorted(error.schema.get("properties", {}))
        unknown = [
            name for name in error.instance if name not in error.schema.get("properties", {})
        ]
        place = f"{key}." if key else ""
        return f"config: unknown key {place}{unknown[0]}; allowed here: {', '.join(allowed)}."
    if error.validator == "enum":
        values = ", ".join(map(str, error.validator_value))
        return f"config: {key} is {error.instance!r}; allowed: {values}."
    if error.validator == "required":
        missing = error.message.split("'")[1]
        place = key or "the configuration"
        return f"config: {place} lacks the key {missing}{_others(error, config)}."
    if error.validator == "type" and _reads_as_number(error.instance):
        return f"config: {key} is the text {error.instance!r}; write a number, such as 2.0e-5."
    if error.validator in _BOUNDS:
        bound = f"{_BOUNDS[error.validator]} {error.validator_value}"
        return f"config: {key} is {error.instance}; it must be {bound}."
    return f"config: {key or 'the configuration'}: {error.message}."


def _others(error: Any, config: Config) -> str:
    """Name a registry's entries where one is incomplete: a misspelt name makes a new entry."""
    path = list(error.absolute_path)
    if len(path) != 2 or not isinstance(config.get(path[0]), dict):
        return ""
    names = [str(name) for name in config[path[0]] if name != path[1]]
    return f" (if it was to change another entry, the names are: {', '.join(names)})"


def _reads_as_number(value: Any) -> bool:
    """Tell whether a text is a number that YAML reads as text, as 2e-5."""
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return isinstance(value, str)


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


def _check_datasets(config: Config) -> None:
    for name, dataset in config["datasets"].items():
        if (dataset["kind"] in CONTEXT_KINDS) != ("task" in dataset):
            needs = "needs a" if dataset["kind"] in CONTEXT_KINDS else "takes no"
            raise InputError(
                f"config: datasets.{name} of kind {dataset['kind']} {needs} task instruction."
            )
        _check_source(name, dataset["source"])
        _check_fractions(name, dataset)


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
    named = [entry["metric"] for entry in config["metrics"].values() if "metric" in entry]
    clash = sorted({name for name in named if named.count(name) > 1 or name in METRICS})
    if clash:
        raise InputError(f"config: two metrics give scores named {clash[0]!r}; rename one.")
    for name, entry in config["metrics"].items():
        if entry.get("architecture") == "seq2seq" and not entry.get("negative"):
            raise InputError(
                f"config: metrics.{name} is a seq2seq model and needs negative: the answers that "
                "mean the contrary of positive."
            )
    for column in ("faithfulness", "task"):
        for kind, metric in config[column].items():
            _one_of(metric, [*METRICS, *named], f"{column}.{kind}", "the scores of the metrics")


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


def _check_judges(config: Config) -> None:
    for name, judge in config["judges"].items():
        price = judge.get("price", {})
        if "max_budget" in judge and not (price.get("prompt") or price.get("completion")):
            raise InputError(
                f"config: judges.{name}.max_budget is {judge['max_budget']} dollars, but without a "
                f"judges.{name}.price nothing is known to cost any; add the price or take it out."
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
    for row in config["tables"]["main"]:
        where = f"tables.main ({row['label']})"
        _one_of(row["run"], [*config["models"], *config["runs"]], where, "models or runs")
        allowed = (
            ["start"] if row["run"] in config["models"] else config["runs"][row["run"]]["evaluate"]
        )
        _one_of(row["checkpoint"], allowed, where, "the checkpoints that are evaluated")
    for name, row in config["tables"]["tradeoffs"].items():
        _known(config, "runs", row["run"], f"tables.tradeoffs.{name}.run")
        for checkpoint in ("start", "best"):
            evaluated = config["runs"][row["run"]]["evaluate"]
            _one_of(checkpoint, evaluated, f"tables.tradeoffs.{name}", "the run's `evaluate`")


def _check_claims(config: Config) -> None:
    """Check the judges of claims; their systems may be unknown unless statistics.strict is true.

    A claim about an unknown system is a hole with its reason in the table of claims.
    """
    for name, claim in config["claims"].items():
        for contrast in claim["contrasts"]:
            if contrast.get("judge", "held_out") != "held_out":
                rated = [config["evaluation"]["judge"], *config["evaluation"].get("held_out", [])]
                _one_of(contrast["judge"], rated, f"claims.{name}", "the judges of the evaluation")
            if config["statistics"]["strict"]:
                for side in ("of", "minus"):
                    known = [*config["models"], *config["runs"]]
                    run = contrast.get(side, contrast["of"])["run"]
                    _one_of(run, known, f"claims.{name}", "models or runs")


def normalise(config: Config) -> None:
    """Bring a merged configuration into its one form, in place, before it is checked.

    Overlays merge into what is below them, so a null is how they take a key away; and what is
    nested on the command line (`--config 'seeds=[1]'`) arrives as texts. Registries keep the order
    of their names, which is that of the tables, but an entry's keys are sorted: to Snakemake the
    same values in another order are other params, and everything would be made again.
    """
    _read_texts(config)
    _remove_nulls(config)
    for key, value in config.items():
        if isinstance(value, dict):
            is_registry = any(isinstance(entry, dict) for entry in value.values())
            entries = {name: _sorted(entry) for name, entry in value.items()}
            config[key] = entries if is_registry else _sorted(entries)


def _read_texts(config: Config) -> None:
    """Read a text as YAML where the schema wants another type: 1, true, null."""
    for error in list(_validator().iter_errors(config)):
        if error.validator != "type" or not isinstance(error.instance, str):
            continue
        try:
            value = yaml.safe_load(error.instance)
        except yaml.YAMLError:
            continue  # the check that follows says what is wrong with it
        if value is None or _validator().evolve(schema=error.schema).is_valid(value):
            *path, last = error.absolute_path
            reduce(getitem, path, config)[last] = value


def _remove_nulls(config: Config) -> None:
    for key in [key for key, value in config.items() if value is None]:
        del config[key]
    for value in config.values():
        if isinstance(value, dict):
            _remove_nulls(value)


def _sorted(value: Any) -> Any:
    """Return a value with the keys of all its dictionaries in alphabetical order."""
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list) else value


def merged(base: Mapping[str, Any], overlay: Mapping[str, Any]) -> Config:
    """Return `base` with `overlay` laid over it: dictionaries merge, everything else is replaced.

    The same rule as Snakemake's for several configuration files, with nulls left in place.
    """
    result = dict(base)
    for key, value in overlay.items():
        both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = merged(result[key], value) if both else value
    return result
