"""Why extractive answers fail: a sheet for people to label, as the authors did by hand.

A failure is an extractive answer that no reference equals (exact match 0). The sheet is a seeded
sample of them, blinded: it names neither the system nor the checkpoint, and its order says nothing.
A machine's guess stands beside the empty label column and never in it. Labelled sheets come back
as they are and become metrics/failure_modes.csv, with the agreement of people among each other and
with the machine; without any, the machine's labels are counted and said to be the machine's.
"""

import hashlib
import logging
from collections.abc import Iterable, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import pandas as pd

from reset_tuning.errors import InputError
from reset_tuning.files import atomic_path
from reset_tuning.scoring.coverage import exact_match, read_context, span_coverage
from reset_tuning.scoring.normalise import normalise
from reset_tuning.scoring.outputs import read_outputs
from reset_tuning.seeds import draw_fraction
from reset_tuning.tables import read_table, table_schema, write_table

KIND = "extractive_qa"
LABELS = ("paraphrase_of_gold", "wrong_span", "non_existent_span", "other")
MACHINE = "machine"
_SHARED_WORDS = 0.5  # F1 of words above which an answer is guessed to say what the gold says
_SHOWN = ["question", "context", "gold", "output"]
_SYSTEM = ["run", "seed", "checkpoint"]


def export_failures(
    outputs: Sequence[Path],
    examples: list[Path],
    sheet: Path,
    key: Path,
    per_system: int,
    seed: int,
    unicode: bool = False,
) -> None:
    """Write a labelling sheet of `per_system` failures of each checkpoint, and the key to it.

    A failure is an answer without an exact match, texts being normalised as for that score
    (`unicode`). The key says which system each item comes from and is not for the annotators.
    """
    failures = pd.concat(
        [_failures(path, examples, unicode) for path in outputs], ignore_index=True
    )
    order = [draw_fraction(seed, item, "failure") for item in failures["item"]]
    drawn = failures.assign(order=pd.Series(order, dtype=float)).sort_values(["order", "item"])
    drawn = drawn.groupby(_SYSTEM, sort=False).head(per_system)
    logging.info("%d failures of %d checkpoints, %d drawn", len(failures), len(outputs), len(drawn))
    write_table(drawn[table_schema("failure_key").names], key, "failure_key")
    blinded = drawn.drop_duplicates("shown").assign(label="", annotator="")
    blinded = blinded.assign(item=blinded["shown"])
    columns = ["item", *_SHOWN, "label", "annotator", "machine_label"]
    with atomic_path(sheet) as temporary:
        blinded[columns].to_csv(temporary, index=False)


def tabulate_failures(key: Path, returned: Sequence[Path], table: Path, labels: Path) -> None:
    """Write every label of the returned sheets, and its share by checkpoint and annotator.

    Raises InputError for a sheet with an unknown item or label, or without an annotator.
    """
    items = read_table(key, "failure_key")
    machine = items.assign(annotator=MACHINE, label=items["machine_label"])
    people = [_read_sheet(path, set(items["shown"])) for path in returned]
    said = pd.concat([frame for frame in people if len(frame)] or [_no_labels()])
    if said.duplicated(["item", "annotator"]).any():
        twice = said[said.duplicated(["item", "annotator"])].iloc[0]
        raise InputError(f"{twice['annotator']} has labelled item {twice['item']} twice")
    labelled = items.merge(said.rename(columns={"item": "shown"}), on="shown")
    labelled = pd.concat([machine, labelled], ignore_index=True)
    rows = _shares(labelled)
    agreement = _agreement(said, items)
    rows = rows.assign(
        agreement=rows["annotator"].map(agreement["share"]),
        kappa=rows["annotator"].map(agreement["kappa"]),
    )
    write_table(labelled[table_schema("failure_labels").names], labels, "failure_labels")
    write_table(rows[table_schema("failure_modes").names], table, "failure_modes")


def machine_label(
    output: str, context: str, references: Iterable[str], unicode: bool = False
) -> str:
    """Guess a failure's label from the normalised words alone.

    A literal span of the context is a wrong span; an answer that holds a reference, is held by one
    or shares half of its words is a paraphrase; an answer of nothing is other.

    >>> machine_label("in Bergen", "It rains in Bergen.", ["Oslo"])
    'wrong_span'
    >>> machine_label("Oslo city", "It rains in Bergen.", ["the city of Oslo"])
    'paraphrase_of_gold'
    >>> machine_label("Rome", "It rains in Bergen.", ["Oslo"])
    'non_existent_span'
    """
    answer = normalise(output, unicode)
    if not answer:
        return "other"
    if any(_says_the_same(answer, normalise(reference, unicode)) for reference in references):
        return "paraphrase_of_gold"
    is_span = span_coverage(answer, read_context(context, unicode)).value
    return "wrong_span" if is_span else LABELS[2]


def kappa(first: Sequence[str], second: Sequence[str]) -> float | None:
    """Return Cohen's kappa of two annotators' labels; None where chance alone explains them.

    >>> kappa(["a", "b", "a", "b"], ["a", "b", "b", "b"])
    0.5
    """
    pairs = list(zip(first, second, strict=True))
    observed = sum(a == b for a, b in pairs) / len(pairs)
    expected = sum(
        (list(first).count(label) / len(pairs)) * (list(second).count(label) / len(pairs))
        for label in set(first) | set(second)
    )
    return None if expected == 1 else (observed - expected) / (1 - expected)


def _failures(path: Path, examples: list[Path], unicode: bool) -> pd.DataFrame:
    rows = read_outputs(path, examples)
    rows = rows[rows["kind"] == KIND]
    records = [
        {
            **{name: row[name] for name in (*_SYSTEM, "dataset", "example_id", "sample_id")},
            "item": _digest(row["run"], row["seed"], row["checkpoint"], row["example_id"]),
            "shown": _digest(row["example_id"], row["output"]),
            "question": row["question"],
            "context": row["context"],
            "gold": " | ".join(row["references"]),
            "output": row["output"],
            "machine_label": machine_label(
                row["output"], row["context"] or "", row["references"], unicode
            ),
        }
        for row in rows.to_dict("records")
        if exact_match(normalise(row["output"], unicode), row["references"], unicode).value == 0
    ]
    columns = dict.fromkeys([*table_schema("failure_key").names, *_SHOWN])
    return pd.DataFrame(records, columns=list(columns))


def _digest(*parts: Any) -> str:
    return hashlib.sha256("\x1f".join(map(str, parts)).encode()).hexdigest()[:16]


def _says_the_same(answer: str, gold: str) -> bool:
    words, wanted = set(answer.split()), set(gold.split())
    shared = len(words & wanted)
    is_inside = f" {gold} " in f" {answer} " or f" {answer} " in f" {gold} "
    return bool(gold) and (
        is_inside or 2 * shared >= _SHARED_WORDS * (len(words) + len(wanted)) > 0
    )


def _read_sheet(path: Path, known: set[str]) -> pd.DataFrame:
    """Return the labelled items of a returned sheet; rows without a label are left out."""
    try:
        sheet = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as a labelling sheet: {error}") from error
    missing = {"item", "label", "annotator"} - set(sheet.columns)
    if missing:
        raise InputError(f"{path} lacks the column {min(missing)}; return the sheet as it was sent")
    sheet = sheet.assign(label=sheet["label"].str.strip(), annotator=sheet["annotator"].str.strip())
    sheet = sheet[sheet["label"] != ""]
    for column, is_wrong, advice in (
        ("label", ~sheet["label"].isin(LABELS), f"use one of {', '.join(LABELS)}"),
        ("item", ~sheet["item"].isin(known), "it is of another sheet"),
        ("annotator", sheet["annotator"].isin(("", MACHINE)), "write who labelled"),
    ):
        if is_wrong.any():
            row = sheet[is_wrong].index[0]
            raise InputError(
                f"{path}, row {row + 2}: {column} {sheet.loc[row, column]!r} is not valid; {advice}"
            )
    return sheet[["item", "label", "annotator"]]


def _no_labels() -> pd.DataFrame:
    return pd.DataFrame(columns=["item", "label", "annotator"], dtype=str)


def _shares(labelled: pd.DataFrame) -> pd.DataFrame:
    counts = labelled.groupby([*_SYSTEM, "annotator", "label"]).size()
    levels = counts.index.droplevel("label").unique()
    rows = [
        {**dict(zip([*_SYSTEM, "annotator"], keys, strict=True)), "label": label,
         "n": int(counts.get((*keys, label), 0)), "n_labelled": int(counts.loc[keys].sum())}
        for keys in levels
        for label in LABELS
    ]  # fmt: skip
    frame = pd.DataFrame(rows, columns=[*_SYSTEM, "annotator", "label", "n", "n_labelled"])
    return frame.assign(share=frame["n"] / frame["n_labelled"])


def _agreement(labels: pd.DataFrame, items: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Return each annotator's agreement with the other people, the machine's with all of them.

    A person who labelled alone has none.
    """
    guesses = items.drop_duplicates("shown").set_index("shown")["machine_label"]
    by_person = {
        name: group.set_index("item")["label"] for name, group in labels.groupby("annotator")
    }
    pairs = list(combinations(sorted(by_person), 2))
    compared = {MACHINE: [(guesses, by_person[name]) for name in by_person]}
    for name in by_person:
        compared[name] = [(by_person[a], by_person[b]) for a, b in pairs if name in (a, b)]
    found: dict[str, dict[str, float]] = {"share": {}, "kappa": {}}
    for name, couples in compared.items():
        joined = [pd.concat(couple, axis=1, join="inner") for couple in couples]
        both = pd.concat(joined) if joined else pd.DataFrame()
        if len(both):
            first, second = both.iloc[:, 0].tolist(), both.iloc[:, 1].tolist()
            found["share"][name] = sum(a == b for a, b in zip(first, second, strict=True)) / len(
                both
            )
            value = kappa(first, second)
            found["kappa"][name] = float("nan") if value is None else value
    return found
