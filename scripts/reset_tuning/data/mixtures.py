"""Training mixtures: sets of datasets, held-out rows, up-sampling and prompts."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from reset_tuning.data.candidates import compared_text, instruction_key, normalise
from reset_tuning.data.ledger import READ, Ledger
from reset_tuning.data.overlaps import NearIndex, Similarity
from reset_tuning.data.prompts import (
    INSTRUCTION_KIND,
    FittedPrompt,
    check_template,
    count_tokens,
    fitted_prompts,
)
from reset_tuning.errors import InputError
from reset_tuning.seeds import draw_fraction
from reset_tuning.tables import read_table

_logger = logging.getLogger(__name__)
_BATCH = 5000  # rows rendered at once
LONG_RESPONSES = ("drop", "keep")
NEAR_DUPLICATES = ("drop", "keep")


@dataclass(frozen=True)
class MixtureSpec:
    """A mixture of the config.

    sets: datasets by set; the smaller sets are up-sampled to the size of the largest.
    validation_size: rows held out of each set (at most half of it).
    long_responses: `drop` | `keep` responses of more than `max_response_tokens` tokens.
    similarity: near-duplicate instructions, and training rows that are near-duplicates of
    validation rows, are dropped; None keeps them.
    """

    sets: Mapping[str, Sequence[str]]
    validation_size: int
    long_responses: str
    max_response_tokens: int
    similarity: Similarity | None = None

    @classmethod
    def of(cls, mixture: str, spec: Mapping[str, Any]) -> "MixtureSpec":
        """Return the spec of a config entry; raise InputError for an unknown choice."""
        choices = {"long_responses": LONG_RESPONSES, "near_duplicates": NEAR_DUPLICATES}
        for key, allowed in choices.items():
            if spec[key] not in allowed:
                raise InputError(
                    f"mixtures.{mixture}.{key} is {spec[key]!r}; allowed are {', '.join(allowed)}"
                )
        return cls(
            sets=spec["sets"],
            validation_size=spec["validation_size"],
            long_responses=spec["long_responses"],
            max_response_tokens=spec["max_response_tokens"],
            similarity=Similarity.of(spec.get("similarity")),
        )


@dataclass(frozen=True)
class PromptSettings:
    """How rows are rendered and measured.

    tasks: the task text of each context dataset. max_length: tokens of prompt and response.
    """

    tokenizer: Any
    template: Mapping[str, str]
    tasks: Mapping[str, str]
    max_length: int


@dataclass(frozen=True)
class Mixture:
    """Rows of the `mixture` table for training and validation, and rows of the `ledger` table."""

    train: pd.DataFrame
    validation: pd.DataFrame
    ledger: pd.DataFrame


def load_tokenizer(path: str) -> Any:
    """Return the tokenizer of a model; raise InputError when it is missing or has no offsets."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(path)
    except (OSError, ValueError) as error:
        reason = (str(error).splitlines() or [""])[0]
        raise InputError(f"tokenizer {path} cannot be loaded: {reason}") from error
    if not tokenizer.is_fast:
        raise InputError(f"tokenizer {path} has no tokenizer.json, which cutting contexts needs")
    # Long documents are cut by fitted_prompt; the tokenizer's own warning would mislead.
    tokenizer.model_max_length = int(1e9)
    return tokenizer


def read_examples(paths: Sequence[Path]) -> dict[str, pd.DataFrame]:
    """Return the `example` tables by the dataset that their rows name."""
    frames = [read_table(path, "example") for path in paths]
    return {str(frame["dataset"].iloc[0]): frame for frame in frames if len(frame)}


def build_mixture(
    mixture: str,
    examples: Mapping[str, pd.DataFrame],
    spec: MixtureSpec,
    settings: PromptSettings,
    seed: int,
) -> Mixture:
    """Return a mixture's training and validation rows with their accounting.

    Each set: union of its datasets, duplicate instructions and unusable rows dropped, validation
    rows held out by a draw on their content, training rows too much like a validation row of any
    set dropped, and the rest up-sampled to the largest set. Raises InputError when a set has too
    few rows left.
    """
    check_template(settings.template)
    train: dict[str, pd.DataFrame] = {}
    held_out: dict[str, pd.DataFrame] = {}
    ledgers: dict[str, Ledger] = {}
    validation_ledgers: list[Ledger] = []
    for name, datasets in spec.sets.items():
        ledgers[name] = Ledger("mixtures", f"{mixture}/{name}", "train")
        rows = _usable_rows(name, datasets, examples, spec, settings, ledgers[name])
        train[name], held_out[name] = _hold_out(rows, spec.validation_size, seed)
        ledgers[name].count("held_out_for_validation", len(rows), len(train[name]))
        validation_ledgers.append(_validation_ledger(mixture, name, len(rows), held_out[name]))
        if train[name].empty or held_out[name].empty:
            raise InputError(_too_few(mixture, name, ledgers[name]))
    if spec.similarity is not None:
        train = _unlike_validation(train, held_out, spec.similarity, ledgers)
    for name, rows in train.items():
        if rows.empty:
            raise InputError(_too_few(mixture, name, ledgers[name]))
    largest = max(map(len, train.values()))
    for name, rows in train.items():
        train[name] = up_sample(rows, largest, seed)
        ledgers[name].count("up_sampled", len(rows), largest)
    _log_shares(mixture, train)
    written = [*train.values(), *held_out.values()]
    for ledger, rows in zip(
        every := [*ledgers.values(), *validation_ledgers], written, strict=True
    ):
        ledger.log()
        ledger.check(len(rows))
    return Mixture(
        train=pd.concat(train.values(), ignore_index=True),
        validation=pd.concat(held_out.values(), ignore_index=True),
        ledger=pd.concat([ledger.frame() for ledger in every], ignore_index=True),
    )


def up_sample(rows: pd.DataFrame, size: int, seed: int) -> pd.DataFrame:
    """Return `size` rows: whole copies of all, then a random part of one more copy.

    `copy` numbers them from 0, so that each row stands either floor or ceil(size / n) times.
    """
    whole, rest = divmod(size, len(rows))
    extra = np.sort(_draw_order(rows, seed, "up_sampling")[:rest])
    places = np.concatenate([np.tile(np.arange(len(rows)), whole), extra])
    copies = np.concatenate([np.repeat(np.arange(whole), len(rows)), np.full(rest, whole)])
    return rows.iloc[places].assign(copy=copies).reset_index(drop=True)


def _usable_rows(
    name: str,
    datasets: Sequence[str],
    examples: Mapping[str, pd.DataFrame],
    spec: MixtureSpec,
    settings: PromptSettings,
    ledger: Ledger,
) -> pd.DataFrame:
    """Return a set's rows with prompt, response and token counts, less what cannot be used."""
    missing = [dataset for dataset in datasets if dataset not in examples]
    if missing:
        raise InputError(f"{ledger.item}: no training examples of {', '.join(missing)} were given")
    rows = pd.concat([examples[dataset] for dataset in datasets], ignore_index=True)
    ledger.count(READ, len(rows), len(rows))
    rows = _kept(rows, "no_response", rows["references"].map(len) > 0, ledger)
    rows = _kept(rows, "duplicate_instruction", ~_is_duplicate(rows), ledger)
    if spec.similarity is not None:
        is_near = _is_near_duplicate(rows, spec.similarity)
        rows = _kept(rows, "near_duplicate_instruction", ~is_near, ledger)
    rows = rows.assign(set=name, copy=0, response=rows["references"].map(lambda texts: texts[0]))
    counts = np.array(count_tokens(rows["response"], settings.tokenizer), dtype=np.int64)
    has_end = settings.tokenizer.eos_token_id is not None
    rows["n_response_tokens"] = counts + int(has_end)  # as trained on: with the end token
    if spec.long_responses == "drop":
        short = pd.Series(counts <= spec.max_response_tokens, index=rows.index)
        rows = _kept(rows, "response_too_long", short, ledger)
    return _with_prompts(rows, settings, ledger)


def _kept(rows: pd.DataFrame, rule: str, keep: pd.Series, ledger: Ledger) -> pd.DataFrame:
    chosen = rows[keep.astype(bool)]
    ledger.count(rule, len(rows), len(chosen))
    return chosen.reset_index(drop=True)


def _is_duplicate(rows: pd.DataFrame) -> pd.Series:
    """Mark instructions that stand earlier in the set (the paper: one set of unique examples).

    Questions and documents are left alone: a question may be asked of several contexts.
    """
    is_instruction = rows["kind"] == INSTRUCTION_KIND
    keys = [
        instruction_key(instruction, context if isinstance(context, str) else None)
        if asked
        else identifier
        for asked, instruction, context, identifier in zip(
            is_instruction, rows["instruction"], rows["context"], rows["example_id"], strict=True
        )
    ]
    return pd.Series(keys, index=rows.index).duplicated()


def _is_near_duplicate(rows: pd.DataFrame, similarity: Similarity) -> pd.Series:
    """Mark instructions that are near-duplicates of one that stands earlier and is kept."""
    index = NearIndex(similarity)
    marks = [
        kind == INSTRUCTION_KIND and not index.add_unless_known(text)
        for kind, text in zip(rows["kind"], _compared_texts(rows), strict=True)
    ]
    return pd.Series(marks, index=rows.index, dtype=bool)


def _compared_texts(rows: pd.DataFrame) -> Iterator[str]:
    """Yield the folded text of each row in which near-duplicates are looked for."""
    columns = (rows[name] for name in ("instruction", "question", "context"))
    for parts in zip(*columns, strict=True):
        yield normalise(compared_text(*(part if isinstance(part, str) else None for part in parts)))


def _unlike_validation(
    train: Mapping[str, pd.DataFrame],
    held_out: Mapping[str, pd.DataFrame],
    similarity: Similarity,
    ledgers: Mapping[str, Ledger],
) -> dict[str, pd.DataFrame]:
    """Drop training rows of every set that are near-duplicates of a validation row of any set."""
    index = NearIndex(similarity)
    for rows in held_out.values():
        for text in _compared_texts(rows):
            index.add(text)
    return {
        name: _kept(
            rows,
            "near_duplicate_of_validation",
            pd.Series([not index.find(text) for text in _compared_texts(rows)], index=rows.index),
            ledgers[name],
        )
        for name, rows in train.items()
    }


def _with_prompts(rows: pd.DataFrame, settings: PromptSettings, ledger: Ledger) -> pd.DataFrame:
    """Add the fitted prompts and drop rows that no cut of the context makes fit."""
    fitted = [prompt for batch in _batches(rows) for prompt in _fitted(batch, settings)]
    fits = pd.Series([prompt is not None for prompt in fitted], index=rows.index, dtype=bool)
    rows = _kept(rows, "prompt_too_long", fits, ledger)
    prompts = [prompt for prompt in fitted if prompt is not None]
    return rows.assign(
        prompt=[prompt.text for prompt in prompts],
        n_prompt_tokens=[prompt.n_tokens for prompt in prompts],
        n_context_tokens_cut=[prompt.n_context_tokens_cut for prompt in prompts],
    )


def _batches(rows: pd.DataFrame) -> Iterator[list[dict[str, Any]]]:
    columns = ["dataset", "kind", "instruction", "context", "question", "n_response_tokens"]
    columns += [name for name in ["gold_passages"] if name in rows]
    for start in range(0, len(rows), _BATCH):
        yield rows[columns].iloc[start : start + _BATCH].to_dict("records")


def _fitted(batch: list[dict[str, Any]], settings: PromptSettings) -> list[FittedPrompt | None]:
    limits = [settings.max_length - row["n_response_tokens"] for row in batch]
    return fitted_prompts(batch, settings.template, settings.tasks, settings.tokenizer, limits)


def _hold_out(
    rows: pd.DataFrame, validation_size: int, seed: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return (training, validation) rows; a small set gives at most half of its rows."""
    size = min(validation_size, len(rows) // 2)
    if size < validation_size:
        _logger.warning("%d instead of %d rows held out of a small set", size, validation_size)
    chosen = np.zeros(len(rows), dtype=bool)
    chosen[_draw_order(rows, seed, "validation")[:size]] = True
    return rows[~chosen].reset_index(drop=True), rows[chosen].reset_index(drop=True)


def _draw_order(rows: pd.DataFrame, seed: int, purpose: str) -> np.ndarray:
    """Return the rows' places in the order of their draws, which depend on their ids alone."""
    draws = [draw_fraction(seed, identifier, purpose) for identifier in rows["example_id"]]
    return np.argsort(np.array(draws), kind="stable")


def _validation_ledger(mixture: str, name: str, n_usable: int, held_out: pd.DataFrame) -> Ledger:
    ledger = Ledger("mixtures", f"{mixture}/{name}", "validation")
    ledger.count(READ, n_usable, n_usable)
    ledger.count("kept_for_training", n_usable, len(held_out))
    return ledger


def _too_few(mixture: str, name: str, ledger: Ledger) -> str:
    step = ledger.hungriest()
    return (
        f"mixtures.{mixture}: set {name} has too few rows to train and to validate on "
        f"({ledger.n_out}); rule {step.rule} dropped most ({step.n_dropped} of {step.n_in})"
    )


def _log_shares(mixture: str, train: Mapping[str, pd.DataFrame]) -> None:
    total = sum(map(len, train.values()))
    for name, rows in train.items():
        _logger.info(
            "%s: set %s has %d rows (%.1f %%), %d of them unique",
            mixture,
            name,
            len(rows),
            100 * len(rows) / total,
            int((rows["copy"] == 0).sum()),
        )
