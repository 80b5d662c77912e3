"""One split of one dataset: raw files to the `example` table and its ledger."""

import json
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pyarrow.parquet as pq

from reset_tuning.data.candidates import Candidate, content_id, instruction_key, split_key
from reset_tuning.data.fetch import ALL_SPLITS, RawFile, read_manifest
from reset_tuning.data.filters import NamedFilter, build_filters
from reset_tuning.data.ledger import Ledger
from reset_tuning.data.readers.formats import ReaderOptions
from reset_tuning.data.readers.registry import format_rules, has_groups, read_candidates
from reset_tuning.errors import InputError
from reset_tuning.seeds import draw_fraction

_logger = logging.getLogger(__name__)
TRAIN = "train"
_QUESTION_KINDS = ("extractive_qa", "abstractive_qa")


class Identified(NamedTuple):
    """A candidate with its content's id."""

    example_id: str
    candidate: Candidate


@dataclass(frozen=True)
class DatasetSpec:
    """A dataset's entry of the config, narrowed to one split.

    size: examples kept at the end, drawn at random; None keeps all.
    subset: records drawn at random before the filters (the paper's Alpaca-15K); None keeps all.
    fraction: this split's share of the files that belong to no split.
    """

    kind: str
    format: str
    options: ReaderOptions
    filters: tuple[str | Mapping[str, Any], ...]
    size: int | None = None
    subset: int | None = None
    fraction: float | None = None

    @classmethod
    def of(cls, dataset: str, spec: Mapping[str, Any]) -> "DatasetSpec":
        """Return the spec of a config entry {kind, format, options, filters, split}."""
        split = spec.get("split") or {}
        return cls(
            kind=spec["kind"],
            format=spec["format"],
            options=ReaderOptions.of(dataset, spec.get("options") or {}),
            filters=tuple(spec.get("filters") or ()),
            size=split.get("size"),
            subset=split.get("subset"),
            fraction=split.get("fraction"),
        )


@dataclass(frozen=True)
class PreparedSplit:
    """The `example` rows of a split, their ledger and what goes into the parquet's header."""

    examples: pd.DataFrame
    ledger: Ledger
    metadata: dict[str, str]


def prepare_split(
    manifest: Path, dataset: str, split: str, spec: DatasetSpec, training: list[Path], seed: int
) -> PreparedSplit:
    """Read, filter and draw the examples of one split.

    `training` are the `example` tables that `seen_in_training` compares with. The steps: read;
    other_split (files without a split of their own); not_in_subset; the filters; not_best_reply
    (several replies to one prompt); duplicate_content; the draw of `size` examples. Raises
    InputError when nothing is left, naming the step that dropped most.
    """
    with _naming(dataset):
        listed = read_manifest(manifest)
    files = _files_of_split(listed, manifest, dataset, split, spec)
    filters = build_filters(
        dataset, spec.filters, format_rules(spec.kind, spec.format), trained_instructions(training)
    )
    ledger = Ledger("data", dataset, split)
    chosen = list(_steps(files, manifest, dataset, spec, filters, ledger, seed))
    ledger.log()
    if not chosen:
        raise InputError(_nothing_left(dataset, split, ledger))
    ranks = Counter(str(rank) for item in chosen for rank in item.candidate.gold_ranks[:1])
    positions = dict(sorted(ranks.items()))
    if spec.kind in _QUESTION_KINDS:
        _logger.info("%s %s: first gold passage by rank: %s", dataset, split, positions)
    metadata = {
        "dataset": dataset,
        "split": split,
        "format": spec.format,
        "gold_positions": json.dumps(positions),
    }
    return PreparedSplit(_frame(chosen, dataset, spec.kind), ledger, metadata)


def trained_instructions(training: list[Path]) -> frozenset[str]:
    """Return the folded instructions of the training examples in these tables."""
    keys: set[str] = set()
    for path in training:
        table = pq.read_table(path, columns=["instruction", "context"])
        columns = (table["instruction"].to_pylist(), table["context"].to_pylist())
        keys.update(
            instruction_key(instruction, context)
            for instruction, context in zip(*columns, strict=True)
            if instruction
        )
    return frozenset(keys)


def _files_of_split(
    files: list[RawFile], manifest: Path, dataset: str, split: str, spec: DatasetSpec
) -> list[RawFile]:
    """Return the split's own files and those of no split, with the checks that reading needs."""
    chosen = [file for file in files if file.split in (split, ALL_SPLITS)]
    if not chosen:
        raise InputError(
            f"dataset {dataset} has no raw file for split {split} in {manifest}; "
            f"name one under datasets.{dataset}.source.files"
        )
    if any(file.split == ALL_SPLITS for file in chosen) and spec.fraction is None:
        raise InputError(
            f"dataset {dataset}: files of split {ALL_SPLITS!r} need "
            f"datasets.{dataset}.splits.{split}.fraction, the share that goes to {split}"
        )
    for file in chosen:
        path = manifest.parent / file.path
        if not path.exists() or path.stat().st_size != file.bytes:
            raise InputError(
                f"dataset {dataset}: raw file {path} is missing or changed since {manifest}; fetch "
                "again"
            )
    return chosen


def _steps(
    files: list[RawFile],
    manifest: Path,
    dataset: str,
    spec: DatasetSpec,
    filters: list[NamedFilter],
    ledger: Ledger,
    seed: int,
) -> Iterator[Identified]:
    """Chain the steps; nothing is read before the result is."""
    pairs = ledger.read(_read(files, manifest, dataset, spec))
    if any(file.split == ALL_SPLITS for file in files):
        pairs = ledger.filtered(
            "other_split",
            pairs,
            lambda pair: pair[1] or _falls_here(pair[0], dataset, ledger.split, spec, seed),
        )
    items: Iterator[Identified] = (
        Identified(_id_of(candidate, dataset, spec.kind), candidate) for candidate, _ in pairs
    )
    if spec.subset is not None:
        items = ledger.reduced("not_in_subset", items, _drawer(spec.subset, seed, "subset"))
    for rule in filters:
        items = ledger.filtered(rule.name, items, _on_candidate(rule))
    if has_groups(spec.kind, spec.format):
        items = ledger.reduced("not_best_reply", items, _best_of_groups)
    items = _unique(items, ledger)
    if spec.size is not None:
        purpose = "training" if ledger.split == TRAIN else "evaluation"
        items = ledger.reduced(
            f"not_sampled_for_{purpose}", items, _drawer(spec.size, seed, "size")
        )
    return items


def _read(
    files: list[RawFile], manifest: Path, dataset: str, spec: DatasetSpec
) -> Iterator[tuple[Candidate, bool]]:
    """Yield every candidate and whether its file belongs to this split alone."""
    for file in files:
        path = manifest.parent / file.path
        is_own = file.split != ALL_SPLITS
        with _naming(dataset):
            for candidate in read_candidates(path, file.path, spec.kind, spec.format, spec.options):
                yield candidate, is_own


@contextmanager
def _naming(dataset: str) -> Iterator[None]:
    """Put the dataset's name before what is wrong with one of its raw files."""
    try:
        yield
    except InputError as error:
        raise InputError(f"dataset {dataset}: {error}") from error


def _falls_here(
    candidate: Candidate, dataset: str, split: str, spec: DatasetSpec, seed: int
) -> bool:
    """Place an example of a file without splits: test takes the low draws, train the high ones.

    With fractions that add up to one the two splits share nothing and leave nothing out.
    """
    draw = draw_fraction(seed, split_key(dataset, candidate), "split")
    fraction = spec.fraction or 0.0
    if split == TRAIN:
        return draw >= round(1.0 - fraction, 9)
    return draw < round(fraction, 9)


def _id_of(candidate: Candidate, dataset: str, kind: str) -> str:
    return content_id(
        dataset,
        kind,
        candidate.instruction,
        candidate.context,
        candidate.question,
        candidate.references,
    )


def _on_candidate(rule: NamedFilter) -> Any:
    return lambda item: rule.keep(item.candidate)


def _drawer(size: int, seed: int, purpose: str) -> Any:
    """Return a draw of `size` items that depends on each item's content alone, not on its place."""

    def draw(items: list[Identified]) -> list[Identified]:
        order = sorted(
            items,
            key=lambda item: (
                draw_fraction(seed, item.example_id, purpose),
                item.candidate.source_row,
            ),
        )
        return order[:size]

    return draw


def _best_of_groups(items: list[Identified]) -> list[Identified]:
    """Return the best item of each group: lowest rank, then highest rating, then first read.

    A rank of null is worse than any other; an item without a group is alone in its own.
    """
    best: dict[str, tuple[tuple[float, float, int], Identified]] = {}
    for place, item in enumerate(items):
        reply = item.candidate
        group = reply.group or reply.source_row
        rank = float("inf") if reply.rank is None else float(reply.rank)
        order = (rank, -(reply.rating or 0.0), place)
        if group not in best or order < best[group][0]:
            best[group] = (order, item)
    return [item for _, item in best.values()]


def _unique(items: Iterable[Identified], ledger: Ledger) -> Iterator[Identified]:
    seen: set[str] = set()

    def is_new(item: Identified) -> bool:
        known = item.example_id in seen
        seen.add(item.example_id)
        return not known

    return ledger.filtered("duplicate_content", items, is_new)


def _nothing_left(dataset: str, split: str, ledger: Ledger) -> str:
    if not ledger.steps[0].n_in:
        return f"dataset {dataset}, split {split}: the raw files hold no records"
    step = ledger.hungriest()
    return (
        f"dataset {dataset}, split {split}: none of {ledger.steps[0].n_in} records is left; "
        f"filter {step.rule} dropped most ({step.n_dropped}), see datasets.{dataset}.filters"
    )


def _frame(items: list[Identified], dataset: str, kind: str) -> pd.DataFrame:
    """Return the items as rows of the `example` table."""
    return pd.DataFrame(
        {
            "example_id": [item.example_id for item in items],
            "dataset": dataset,
            "kind": kind,
            "instruction": [item.candidate.instruction for item in items],
            "context": [item.candidate.context for item in items],
            "question": [item.candidate.question for item in items],
            "references": [list(item.candidate.references) for item in items],
            "source_row": [item.candidate.source_row for item in items],
        }
    )
