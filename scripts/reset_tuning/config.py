"""The configuration's one form, and the names that stand in it.

How files are laid over each other, what is read into what, and in which order names stand.
"""

from collections.abc import Mapping
from functools import reduce
from operator import getitem
from typing import Any

import yaml

from reset_tuning.config_schema import validator

Config = dict[str, Any]

KINDS = ("instruction", "extractive_qa", "abstractive_qa", "summarization")
CONTEXT_KINDS = KINDS[1:]
# The filters that compare a row with the training sets.
SEEN_IN_TRAINING = "seen_in_training"
NEAR_DUPLICATE_OF_TRAINING = "near_duplicate_of_training"
TRAINING_RULES = (SEEN_IN_TRAINING, NEAR_DUPLICATE_OF_TRAINING)
# The scores that each kind of metric writes; a classifier writes the one that its `metric` names.
SCORES = {
    "lexical": (
        "exact_match",
        "span_coverage",
        "span_coverage_tokens",
        "unigram_coverage",
        "bigram_coverage",
    ),
    "rouge": ("rouge_l",),
    "summac": ("summac_zs", "summac_zs_entailment"),
}
METRICS = tuple(score for scores in SCORES.values() for score in scores)


def scores_of(metric: Config) -> tuple[str, ...]:
    """Return the names of the scores that an entry of `metrics` writes."""
    return SCORES.get(metric["kind"]) or (metric["metric"],)


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
            entries = {name: _sorted(entry) for name, entry in value.items()}
            config[key] = entries if _is_registry(value) else _sorted(entries)


def _is_registry(value: Any) -> bool:
    return isinstance(value, dict) and any(isinstance(entry, dict) for entry in value.values())


def reorder(config: Config, first: Mapping[str, Any]) -> None:
    """Put the names of each registry into the order of `first`, new ones behind, in place.

    Snakemake puts what an overlay names in front; naming an entry would move it, in the tables and
    in rules' params, which makes everything again that takes them.
    """
    for key, value in config.items():
        known = first.get(key)
        if isinstance(known, dict) and _is_registry(value):
            names = [*(name for name in known if name in value), *value]
            config[key] = {name: value[name] for name in names}


def _read_texts(config: Config) -> None:
    """Read a text as YAML where the schema wants another type: 1, true, null."""
    for error in list(validator().iter_errors(config)):
        if error.validator != "type" or not isinstance(error.instance, str):
            continue
        try:
            value = yaml.safe_load(error.instance)
        except yaml.YAMLError:
            continue  # the check that follows says what is wrong with it
        if value is None or validator().evolve(schema=error.schema).is_valid(value):
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
