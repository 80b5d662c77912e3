"""One split of one dataset: raw files to the `example` table and its ledger.

Rows stream from the raw files to the table; what is held are ids, the rows of a draw (twice as many
while it is made), the distinct instructions of a split that must have no others, and, for the rules
that compare a test split with the training sets, that split.
"""

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from reset_tuning.config import TRAINING_RULES
from reset_tuning.data.candidates import BAD_ROW, Candidate, Identified, split_key
from reset_tuning.data.choices import (
    best_of_groups,
    drawer,
    first_of_each_content,
    one_of_each_instruction,
)
from reset_tuning.data.filters import (
    DUPLICATE_INSTRUCTION,
    NO_ANSWER,
    NamedFilter,
    build_filters,
)
from reset_tuning.data.ledger import Ledger
from reset_tuning.data.manifests import RawFile, read_manifest
from reset_tuning.data.overlaps import Similarity
from reset_tuning.data.readers.formats import ReaderOptions
from reset_tuning.data.readers.registry import (
    DROP_AND_COUNT,
    FAIL,
    format_rules,
    has_groups,
    read_candidates,
)
from reset_tuning.data.rows import Count
from reset_tuning.data.sources.common import ALL_SPLITS
from reset_tuning.data.store import ExampleRow
from reset_tuning.data.unseen import TrainingComparison
from reset_tuning.errors import InputError
from reset_tuning.files import sha256_of
from reset_tuning.seeds import draw_fraction

_logger = logging.getLogger(__name__)
TRAIN = "train"
_QUESTION_KINDS = ("extractive_qa", "abstractive_qa")
_KEYS_OF_STEPS = {  # that are no filters, below their dataset's key; two go by none
    BAD_ROW: "on_bad_row",
    "other_split": "splits.{split}.fraction",
    "not_in_subset": "splits.{split}.subset",
    "not_best_reply": "",
    "duplicate_content": "",
    "not_sampled_for_training": "splits.{split}.size",
    "not_sampled_for_evaluation": "splits.{split}.size",
}


@dataclass(frozen=True)
class DatasetSpec:
    """A dataset's entry of the config, narrowed to one split.

    size: examples kept at the end, drawn at random; None keeps all.
    subset: distinct records drawn at random before the filters (the paper's Alpaca-15K); None keeps
        all.
    fraction: this split's share of the files that belong to no split.
    on_bad_row: `fail` | `drop-and-count` rows that cannot be read.
    similarity: what `near_duplicate_of_training` means by near.
    """

    kind: str
    format: str
    options: ReaderOptions
    filters: tuple[str | Mapping[str, Any], ...]
    size: int | None = None
    subset: int | None = None
    fraction: float | None = None
    on_bad_row: str = FAIL
    similarity: Similarity | None = None

    @classmethod
    def of(cls, dataset: str, spec: Mapping[str, Any]) -> "DatasetSpec":
        """Return the spec of a config entry.

        Its keys are kind, format, options, filters, split, on_bad_row and near_duplicates.
        """
        split = spec.get("split") or {}
        return cls(
            kind=spec["kind"],
            format=spec["format"],
            options=ReaderOptions.of(dataset, spec.get("options") or {}),
            filters=tuple(spec.get("filters") or ()),
            size=split.get("size"),
            subset=split.get("subset"),
            fraction=split.get("fraction"),
            on_bad_row=spec.get("on_bad_row", FAIL),
            similarity=Similarity.of(spec.get("near_duplicates")),
        )


@dataclass(frozen=True)
class PreparedSplit:
    """A split in the making: its rows are read when `rows` is, and its ledger is full then.

    `overlaps` are rows of the `overlap` table: the candidates that stand in a training set.
    """

    rows: Iterator[ExampleRow]
    ledger: Ledger
    metadata: dict[str, str]
    overlaps: list[dict[str, Any]] = field(default_factory=list)


def prepare_split(
    manifest: Path, dataset: str, split: str, spec: DatasetSpec, training: list[Path], seed: int
) -> PreparedSplit:
    """Return the examples of one split, read, filtered and drawn as its rows are asked for.

    `training` are the `example` tables that the split must be unseen in. The steps: read; bad_row
    (if such rows are to be dropped); other_split (files without a split of their own);
    not_in_subset; the filters; not_best_reply (several replies to one prompt); duplicate_content;
    the draw of `size` examples. Raises InputError when nothing is left, naming the step that
    dropped most.
    """
    with _naming(dataset):
        listed = read_manifest(manifest)
    files = _files_of_split(listed, manifest, dataset, split, spec)
    filters = build_filters(dataset, spec.filters, format_rules(spec.kind, spec.format))
    ledger = Ledger("data", dataset, split)
    overlaps: list[dict[str, Any]] = []
    comparison = TrainingComparison(training, spec.similarity, filters, overlaps)
    items = _steps(files, manifest, dataset, spec, filters, ledger, seed, comparison)
    metadata = {"dataset": dataset, "split": split, "format": spec.format}
    rows = _rows(items, dataset, spec.kind, ledger, overlaps)
    return PreparedSplit(rows, ledger, metadata, overlaps)


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
        if not path.exists() or sha256_of(path) != file.sha256:
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
    comparison: TrainingComparison,
) -> Iterator[Identified]:
    """Chain the steps; nothing is read before the result is."""
    has_splits = all(file.split != ALL_SPLITS for file in files)
    unanswered = None
    if has_splits and spec.subset is None and [rule.name for rule in filters[:1]] == [NO_ANSWER]:
        # Four of five queries of MS MARCO go by their empty lists of answers, whatever they hold.
        unanswered = partial(ledger.passed_over, NO_ANSWER)
    pairs = ledger.read(_read(files, manifest, dataset, spec, unanswered))
    if spec.on_bad_row == DROP_AND_COUNT:
        pairs = ledger.filtered(BAD_ROW, pairs, lambda pair: BAD_ROW not in pair[0].faults)
    if not has_splits:
        pairs = ledger.filtered(
            "other_split",
            pairs,
            lambda pair: pair[1] or _falls_here(pair[0], dataset, ledger.split, spec, seed),
        )
    items = (Identified(candidate, dataset, spec.kind) for candidate, _ in pairs)
    if spec.subset is not None:
        items = ledger.reduced("not_in_subset", items, drawer(spec.subset, seed, "subset"))
    for rule in filters:
        if rule.keep is not None:
            items = ledger.filtered(rule.name, items, _on_candidate(rule))
        elif rule.name == DUPLICATE_INSTRUCTION:
            items = ledger.reduced(rule.name, items, one_of_each_instruction)
        else:
            items = ledger.reduced(rule.name, items, comparison.unseen(rule.name))
    if has_groups(spec.kind, spec.format):
        items = ledger.reduced("not_best_reply", items, best_of_groups)
    items = ledger.filtered("duplicate_content", items, first_of_each_content())
    if spec.size is not None:
        purpose = "training" if ledger.split == TRAIN else "evaluation"
        items = ledger.reduced(f"not_sampled_for_{purpose}", items, drawer(spec.size, seed, "size"))
    return items


def _read(
    files: list[RawFile],
    manifest: Path,
    dataset: str,
    spec: DatasetSpec,
    unanswered: Count | None,
) -> Iterator[tuple[Candidate, bool]]:
    """Yield every candidate and whether its file belongs to this split alone."""
    of_split = [(manifest.parent / file.path, file.path) for file in files]
    for file in files:
        path = manifest.parent / file.path
        is_own = file.split != ALL_SPLITS
        with _naming(dataset):
            for candidate in read_candidates(
                path,
                file.path,
                spec.kind,
                spec.format,
                spec.options,
                spec.on_bad_row,
                unanswered,
                of_split,
            ):
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


def _on_candidate(rule: NamedFilter) -> Any:
    return lambda item: rule.keep(item.candidate)


def nothing_left(
    dataset: str, split: str, ledger: Ledger, overlaps: Iterable[Mapping[str, Any]] = ()
) -> str:
    """Return the sentence for a split without rows: the step that dropped most, and its key.

    Where that compares with the training sets, the one with most of the `overlaps` is named.
    """
    if not ledger.steps[0].n_in:
        return f"dataset {dataset}, split {split}: the raw files hold no records"
    step = ledger.hungriest()
    key = _KEYS_OF_STEPS.get(step.rule, "filters")
    where = f", see datasets.{dataset}.{key.format(split=split)}" if key else ""
    if step.rule in TRAINING_RULES:
        sets = Counter(overlap["training"] for overlap in overlaps)
        for name, _ in sets.most_common(1):
            where += f"; of the training sets {name} holds most"
    return (
        f"dataset {dataset}, split {split}: none of {ledger.steps[0].n_in} records is left; "
        f"{'filter' if key == 'filters' else 'step'} {step.rule} dropped most "
        f"({step.n_dropped}){where}"
    )


def _rows(
    items: Iterator[Identified],
    dataset: str,
    kind: str,
    ledger: Ledger,
    overlaps: list[dict[str, Any]],
) -> Iterator[ExampleRow]:
    """Yield the items as rows of the `example` table; log and check the ledger at their end."""
    first_gold: Counter[int] = Counter()
    n_rows = 0
    for item in items:
        n_rows += 1
        first_gold.update(item.candidate.gold_ranks[:1])
        yield _row(item, dataset, kind)
    ledger.log()
    ledger.check(n_rows)
    if not n_rows:
        raise InputError(nothing_left(dataset, ledger.split, ledger, overlaps))
    if kind in _QUESTION_KINDS:
        positions = dict(sorted(first_gold.items()))
        _logger.info("%s %s: first gold passage by rank: %s", dataset, ledger.split, positions)


def _row(item: Identified, dataset: str, kind: str) -> ExampleRow:
    candidate = item.candidate
    is_question = kind in _QUESTION_KINDS
    return {
        "example_id": item.example_id,
        "dataset": dataset,
        "kind": kind,
        "instruction": candidate.instruction,
        "context": candidate.context,
        "question": candidate.question,
        "references": list(candidate.references),
        "source_row": candidate.source_row,
        "gold_passages": list(candidate.gold_ranks) if is_question else None,
        "gold_retrieved": candidate.gold_retrieved,
    }
