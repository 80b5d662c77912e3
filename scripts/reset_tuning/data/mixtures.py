"""Training mixtures: sets of datasets, held-out rows, up-sampling and prompts.

Rows pass through in parts; held are ids, the folded instructions in which duplicates are looked
for, and validation rows. Each set's usable rows wait once, unsorted, in a folder beside the output.
"""

import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from reset_tuning.data.ledger import READ, Ledger
from reset_tuning.data.overlaps import EXACT, NEAR, NearIndex, Similarity
from reset_tuning.data.prompts import (
    FittedPrompt,
    PromptSettings,
    check_template,
    count_tokens,
    fitted_prompts,
)
from reset_tuning.data.repeats import DROPPED_AS, SetInstructions, compared_texts
from reset_tuning.data.store import BUFFER_BYTES, Spool
from reset_tuning.errors import InputError
from reset_tuning.files import work_folder
from reset_tuning.seeds import draw_fraction
from reset_tuning.tables import conform, read_parts, table_schema, writing_table

_logger = logging.getLogger(__name__)
_BATCH = 5000  # rows rendered at once
_WRITTEN_AT_ONCE = 5000
_COMPARED = ["example_id", "instruction", "question", "context"]
LONG_RESPONSES = ("drop", "keep")
NEAR_DUPLICATES = ("drop", "keep")


@dataclass(frozen=True)
class MixtureSpec:
    """A mixture of the config.

    sets: datasets by set; the smaller sets are up-sampled to the size of the largest.
    validation_size: rows held out of each set (at most half of it).
    long_responses: `drop` | `keep` responses of more than `max_response_tokens` tokens.
    near_duplicates: `drop` | `keep` instructions that are near-duplicates of an earlier one.
    similarity: what near means, there and between validation rows and rows to train on.
    """

    sets: Mapping[str, Sequence[str]]
    validation_size: int
    long_responses: str
    max_response_tokens: int
    near_duplicates: str
    similarity: Similarity

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
            near_duplicates=spec["near_duplicates"],
            similarity=Similarity.of(spec["similarity"]),
        )


@dataclass(frozen=True)
class MixtureFiles:
    """Where a mixture's `mixture` tables go, and what their headers hold."""

    train: Path
    validation: Path
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class MixtureCounts:
    """The rows of a mixture's `ledger` and `duplicates` tables."""

    ledger: pd.DataFrame
    duplicates: pd.DataFrame


@dataclass
class _Set:
    """One set of a mixture: its usable rows, and which of them are for what."""

    name: str
    rows: Spool
    train: Ledger
    validation: Ledger
    instructions: SetInstructions
    ids: list[str] = field(default_factory=list)  # of the rows left to train on, as they came
    held_out: frozenset[str] = frozenset()
    twice: frozenset[str] = frozenset()  # those with one copy more than the others
    whole_copies: int = 1


def example_tables(paths: Iterable[Path]) -> dict[str, Path]:
    """Return `example` tables by the dataset that their rows name; empty ones are left out."""
    tables = {}
    for path in paths:
        first = next(pq.ParquetFile(path).iter_batches(1, columns=["dataset"]), None)
        if first is not None and len(first):
            tables[first["dataset"][0].as_py()] = path
    return tables


def build_mixture(
    mixture: str,
    examples: Mapping[str, Path],
    spec: MixtureSpec,
    settings: PromptSettings,
    seed: int,
    files: MixtureFiles,
    buffer_bytes: int = BUFFER_BYTES,
) -> MixtureCounts:
    """Write a mixture's training and validation rows; return what its other tables hold.

    Each set: union of its datasets (`examples` are their tables), duplicate instructions and
    unusable rows dropped, validation rows held out by a draw on their content, training rows too
    much like a validation row of any set dropped, and the rest up-sampled to the largest set.
    Raises InputError when a set has too few rows left.
    """
    check_template(settings.template)
    near = spec.similarity if spec.near_duplicates == "drop" else None
    with work_folder(files.train) as folder:
        sets = []
        for name, datasets in spec.sets.items():
            spool = Spool(folder / name, table_schema("mixture"), buffer_bytes)
            ledgers = [Ledger("mixtures", f"{mixture}/{name}", s) for s in ("train", "validation")]
            sets.append(_Set(name, spool, *ledgers, SetInstructions(near)))
            _collect(sets[-1], _parts(sets[-1], datasets, examples), spec, settings)
            _hold_out(sets[-1], spec.validation_size, seed)
            _refuse_empty(mixture, sets[-1])
        _drop_like_validation(sets, spec.similarity)
        for one in sets:
            _refuse_empty(mixture, one)
        _up_sample(sets, seed)
        _log_shares(mixture, sets)
        _write(sets, files)
    every = [*(one.train for one in sets), *(one.validation for one in sets)]
    pairs = [row for one in sets for row in one.instructions.pairs(one.name, one.train)]
    return MixtureCounts(
        pd.concat([ledger.frame() for ledger in every], ignore_index=True),
        pd.DataFrame(pairs, columns=table_schema("duplicates").names).astype({"n_near": "Int64"}),
    )


def copies(ids: Sequence[str], size: int, seed: int) -> tuple[int, frozenset[str]]:
    """Return how often each row stands among `size` rows, and which rows stand once more.

    The latter are a random part of one more copy, so a row stands floor or ceil(size / n) times.
    """
    whole, rest = divmod(size, len(ids))
    return whole, frozenset(_drawn(ids, rest, seed, "up_sampling"))


def _parts(
    one: _Set, datasets: Sequence[str], examples: Mapping[str, Path]
) -> Iterator[pd.DataFrame]:
    missing = [dataset for dataset in datasets if dataset not in examples]
    if missing:
        raise InputError(
            f"{one.train.item}: no training examples of {', '.join(missing)} were given"
        )
    for dataset in datasets:
        yield from read_parts(examples[dataset], "example", _BATCH)


def _collect(
    one: _Set, parts: Iterable[pd.DataFrame], spec: MixtureSpec, settings: PromptSettings
) -> None:
    """Put a set's usable rows into its spool, with prompt, response and token counts."""
    schema = table_schema("mixture")
    for rows in parts:
        usable = _usable_rows(rows, one.instructions, spec, settings, one.train)
        one.ids += usable["example_id"].tolist()
        usable = usable.assign(set=one.name, copy=0)[schema.names]
        one.rows.add(pa.Table.from_pandas(usable, schema, preserve_index=False))


def _usable_rows(
    rows: pd.DataFrame,
    instructions: SetInstructions,
    spec: MixtureSpec,
    settings: PromptSettings,
    ledger: Ledger,
) -> pd.DataFrame:
    """Return some of a set's rows with prompt, response and token counts, less what is useless.

    `instructions` holds those of the rows before.
    """
    ledger.count(READ, len(rows), len(rows))
    responses = rows["references"].map(lambda texts: texts[0] if len(texts) else "")
    rows = rows.assign(response=responses)
    rows = _kept(rows, "no_response", responses.map(lambda text: text.strip() != ""), ledger)
    counts = np.array(count_tokens(rows["response"], settings.tokenizer), dtype=np.int64)
    # As trained on: with the end token.
    rows["n_response_tokens"] = counts + settings.n_end_tokens
    if spec.long_responses == "drop":
        short = pd.Series(counts <= spec.max_response_tokens, index=rows.index)
        rows = _kept(rows, "response_too_long", short, ledger)
    rows = _with_prompts(rows, settings, ledger)
    # At the end, lest an instruction be lost as the duplicate of one that is of no use.
    rows = _kept(rows, DROPPED_AS[EXACT], ~instructions.are_equal(rows), ledger)
    if instructions.looks_for_near:
        rows = _kept(rows, DROPPED_AS[NEAR], ~instructions.are_near(rows), ledger)
    return rows


def _kept(rows: pd.DataFrame, rule: str, keep: pd.Series, ledger: Ledger) -> pd.DataFrame:
    chosen = rows[keep.astype(bool)]
    ledger.count(rule, len(rows), len(chosen))
    return chosen.reset_index(drop=True)


def _drop_like_validation(sets: Sequence[_Set], similarity: Similarity) -> None:
    """Drop training rows of every set that are near-duplicates of a validation row of any set."""
    index = NearIndex(similarity)
    for one in sets:
        for _, text in _compared(one, one.held_out):
            index.add(text)
    for one in sets:
        training = frozenset(one.ids)
        alike = {id_ for id_, text in _compared(one, training) if index.find(text)}
        one.train.count("near_duplicate_of_validation", len(training), len(training) - len(alike))
        one.ids = [id_ for id_ in one.ids if id_ not in alike]


def _compared(one: _Set, wanted: Collection[str]) -> Iterator[tuple[str, str]]:
    """Yield id and folded text of the wanted rows of a set."""
    for part in one.rows.parts(_COMPARED):
        for start in range(0, len(part), _BATCH):
            rows = part.slice(start, _BATCH).to_pandas()
            # Not by `isin`, which goes through all that is wanted once per call.
            rows = rows[[id_ in wanted for id_ in rows["example_id"]]]
            yield from zip(rows["example_id"], compared_texts(rows), strict=True)


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
    columns = ["dataset", "kind", "instruction", "context", "question", "references"]
    columns += ["n_response_tokens", *(name for name in ["gold_passages"] if name in rows)]
    for start in range(0, len(rows), _BATCH):
        yield rows[columns].iloc[start : start + _BATCH].to_dict("records")


def _fitted(batch: list[dict[str, Any]], settings: PromptSettings) -> list[FittedPrompt | None]:
    limits = [settings.max_length - row["n_response_tokens"] for row in batch]
    return fitted_prompts(batch, settings.template, settings.tasks, settings.tokenizer, limits)


def _hold_out(one: _Set, validation_size: int, seed: int) -> None:
    """Take validation rows out of those to train on; a small set gives at most half of its rows."""
    size = min(validation_size, len(one.ids) // 2)
    if size < validation_size:
        _logger.warning("%d instead of %d rows held out of a small set", size, validation_size)
    one.held_out = frozenset(_drawn(one.ids, size, seed, "validation"))
    one.train.count("held_out_for_validation", len(one.ids), len(one.ids) - size)
    one.validation.count(READ, len(one.ids), len(one.ids))
    one.validation.count("kept_for_training", len(one.ids), size)
    one.ids = [id_ for id_ in one.ids if id_ not in one.held_out]


def _drawn(ids: Sequence[str], size: int, seed: int, purpose: str) -> list[str]:
    """Return `size` of the ids by draws that depend on each alone."""
    draws = np.array([draw_fraction(seed, id_, purpose) for id_ in ids])
    return [ids[place] for place in np.argsort(draws, kind="stable")[:size]]


def _refuse_empty(mixture: str, one: _Set) -> None:
    if not one.ids or not one.held_out:
        step = one.train.hungriest()
        most = f"; rule {step.rule} dropped most ({step.n_dropped} of {step.n_in})"
        raise InputError(
            f"mixtures.{mixture}: set {one.name} has too few rows to train and to validate on "
            f"({len(one.ids)}){most if step.n_dropped else ''}"
        )


def _up_sample(sets: Sequence[_Set], seed: int) -> None:
    """Give every set as many rows as the largest has."""
    largest = max(len(one.ids) for one in sets)
    for one in sets:
        one.whole_copies, one.twice = copies(one.ids, largest, seed)
        one.train.count("up_sampled", len(one.ids), largest)


def _write(sets: Sequence[_Set], files: MixtureFiles) -> None:
    """Write both tables in the order of their key, and check every set's ledgers against them."""
    with (
        writing_table(files.train, "mixture", files.metadata) as train,
        writing_table(files.validation, "mixture", files.metadata) as validation,
    ):
        for one in sorted(sets, key=lambda one: one.name):
            training, n_train, n_validation = frozenset(one.ids), 0, 0
            for part in one.rows.parts():
                rows = conform(part.to_pandas(), files.train, "mixture")
                ids = rows["example_id"].to_pylist()
                held_out = rows.filter(pa.array([id_ in one.held_out for id_ in ids]))
                validation.write(held_out.to_pandas())
                n_validation += len(held_out)
                times = [
                    one.whole_copies + (id_ in one.twice) if id_ in training else 0 for id_ in ids
                ]
                for repeated in _repeated(rows, np.array(times, dtype=np.int64)):
                    train.write(repeated.to_pandas())
                    n_train += len(repeated)
            one.train.check(n_train)
            one.validation.check(n_validation)


def _repeated(rows: pa.Table, times: np.ndarray) -> Iterator[pa.Table]:
    """Yield each row so many times, one after the other, its copies numbered from 0."""
    place = rows.schema.get_field_index("copy")
    for start in range(0, len(rows), _WRITTEN_AT_ONCE):
        some = times[start : start + _WRITTEN_AT_ONCE]
        places = start + np.repeat(np.arange(len(some)), some)
        numbers = np.concatenate([np.arange(count) for count in some])
        repeated = rows.take(places)
        yield repeated.set_column(place, rows.schema.field(place), pa.array(numbers, pa.int64()))


def _log_shares(mixture: str, sets: Sequence[_Set]) -> None:
    for one in sets:
        one.train.log()
        one.validation.log()
        _logger.info(
            "%s: set %s has %d rows (%.1f %%), %d of them unique",
            mixture,
            one.name,
            one.train.n_out,
            100 / len(sets),
            len(one.ids),
        )
