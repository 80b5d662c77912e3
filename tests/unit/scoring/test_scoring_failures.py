"""The labelling sheet goes out blinded and comes back checked."""

import doctest
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from reset_tuning.errors import InputError
from reset_tuning.scoring import failures, lexical
from reset_tuning.scoring.failures import MACHINE, export_failures, tabulate_failures
from reset_tuning.scoring.means import Means
from reset_tuning.tables import read_table

Write = Callable[..., tuple[Path, list[Path]]]
OUTPUTS = [
    "red owl",
    "owl flies",
    "a purple cow",
    "the owl that is red",
    "",
    "cow",
    "bat",
    "Red Owl!",
]


def row(number: int, output: str) -> dict[str, Any]:
    return {
        "example_id": f"e{number}", "output": output, "kind": "extractive_qa",
        "context": "The red owl flies.", "question": "who", "references": ["red owl"],
    }  # fmt: skip


@pytest.fixture
def exported(write_outputs: Write, tmp_path: Path) -> tuple[Path, Path]:
    outputs, examples = write_outputs(*[row(n, text) for n, text in enumerate(OUTPUTS)])
    sheet, key = tmp_path / "failures.csv", tmp_path / "failures.key.csv"
    export_failures([outputs], examples, sheet, key, per_system=5, seed=1)
    return sheet, key


def returned(sheet: Path, name: str, labels: list[str], annotator: str | None = None) -> Path:
    frame = pd.read_csv(sheet, dtype=str, keep_default_na=False)
    frame["label"] = (labels * len(frame))[: len(frame)]
    frame["annotator"] = name if annotator is None else annotator
    path = sheet.with_name(f"{name}.csv")
    frame.to_csv(path, index=False)
    return path


def test_the_sheet_is_blinded_and_its_label_column_is_empty(exported: tuple[Path, Path]) -> None:
    sheet = pd.read_csv(exported[0], dtype=str, keep_default_na=False)
    assert list(sheet.columns) == [
        "item", "question", "context", "gold", "output", "label", "annotator", "machine_label",
    ]  # fmt: skip
    assert len(sheet) == 5 and not any(sheet["label"]) and not any(sheet["annotator"])
    assert not set(sheet["output"]) & {"red owl", "Red Owl!"}, "only failures"
    assert set(sheet["machine_label"]) <= set(failures.LABELS)
    assert "mtl" not in exported[0].read_text()
    key = read_table(exported[1], "failure_key")
    assert set(key["shown"]) == set(sheet["item"]) and set(key["run"]) == {"mtl"}


def test_the_draw_depends_on_the_seed_alone(
    exported: tuple[Path, Path], write_outputs: Write, tmp_path: Path
) -> None:
    first = exported[0].read_bytes()
    files = write_outputs(*[row(n, text) for n, text in reversed(list(enumerate(OUTPUTS)))])
    for seed, is_equal in ((1, True), (2, False)):
        export_failures([files[0]], files[1], *exported, per_system=5, seed=seed)
        assert (exported[0].read_bytes() == first) == is_equal


def test_a_match_by_unicode_is_no_failure(write_outputs: Write, tmp_path: Path) -> None:
    outputs, examples = write_outputs(row(1, "\u201cred owl\u201d"))
    sheet, key = tmp_path / "failures.csv", tmp_path / "failures.key.csv"
    for unicode, n_failures in ((False, 1), (True, 0)):
        export_failures([outputs], examples, sheet, key, per_system=5, seed=1, unicode=unicode)
        assert len(pd.read_csv(sheet)) == n_failures


@pytest.mark.parametrize("references", [["A"], ["red owl", "..."], []])
def test_failures_are_the_answers_without_an_exact_match(
    write_outputs: Write, tmp_path: Path, references: list[str]
) -> None:
    """Of "The" and "A" normalisation leaves nothing: no answer, and no match either."""
    rows = [row(n, text) | {"references": references} for n, text in enumerate([*OUTPUTS, "The"])]
    scores, _ = lexical.score(pd.DataFrame(rows), {}, Means())
    outputs, examples = write_outputs(*rows)
    sheet, key = tmp_path / "failures.csv", tmp_path / "failures.key.csv"
    export_failures([outputs], examples, sheet, key, per_system=20, seed=1)
    failed = {f"e{n}" for n, score in enumerate(scores["exact_match"]) if score.value == 0}
    assert set(read_table(key, "failure_key")["example_id"]) == failed


def test_without_people_the_machine_is_named(exported: tuple[Path, Path], tmp_path: Path) -> None:
    tabulate_failures(exported[1], [], tmp_path / "modes.csv", tmp_path / "labels.csv")
    modes = read_table(tmp_path / "modes.csv", "failure_modes")
    assert set(modes["annotator"]) == {MACHINE} and modes["n"].sum() == 5
    assert modes["share"].sum() == pytest.approx(1) and modes["kappa"].isna().all()


def test_returned_sheets_are_counted_with_their_agreement(
    exported: tuple[Path, Path], tmp_path: Path
) -> None:
    sheet, key = exported
    ann = returned(sheet, "ann", ["wrong_span"])
    bob = returned(sheet, "bob", ["wrong_span", "other"])
    tabulate_failures(key, [ann, bob], tmp_path / "modes.csv", tmp_path / "labels.csv")
    modes = read_table(tmp_path / "modes.csv", "failure_modes").set_index(["annotator", "label"])
    assert modes.loc[("ann", "wrong_span"), ["n", "share", "agreement"]].tolist() == [5, 1, 0.6]
    assert modes.loc[("bob", "other"), ["n", "n_labelled"]].tolist() == [2, 5]
    assert 0 <= modes.loc[(MACHINE, "other"), "agreement"] <= 1
    labels = read_table(tmp_path / "labels.csv", "failure_labels")
    assert labels.groupby("item")["annotator"].agg(set).tolist() == [{MACHINE, "ann", "bob"}] * 5
    assert set(labels.loc[labels["annotator"] == "ann", "label"]) == {"wrong_span"}


def test_rows_without_a_label_are_not_counted(exported: tuple[Path, Path], tmp_path: Path) -> None:
    half = returned(exported[0], "ann", ["other", "", "", "", ""])
    tabulate_failures(exported[1], [half], tmp_path / "modes.csv", tmp_path / "labels.csv")
    modes = read_table(tmp_path / "modes.csv", "failure_modes")
    assert modes[modes["annotator"] == "ann"]["n"].sum() == 1


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"labels": ["typo"]}, r"ann\.csv, row 2: label 'typo' .*paraphrase_of_gold"),
        ({"labels": ["other"], "annotator": ""}, "annotator '' is not valid; write who labelled"),
        ({"labels": ["other"], "annotator": MACHINE}, "annotator 'machine'"),
    ],
)
def test_a_wrong_sheet_is_told(
    exported: tuple[Path, Path], tmp_path: Path, change: dict[str, Any], problem: str
) -> None:
    sheet = returned(exported[0], "ann", **change)
    with pytest.raises(InputError, match=problem):
        tabulate_failures(exported[1], [sheet], tmp_path / "modes.csv", tmp_path / "labels.csv")
    assert not (tmp_path / "modes.csv").exists()


def test_a_sheet_of_something_else_is_told(exported: tuple[Path, Path], tmp_path: Path) -> None:
    sheet = returned(exported[0], "ann", ["other"])
    sheet.write_text(sheet.read_text().replace(pd.read_csv(sheet)["item"][0], "0" * 16))
    with pytest.raises(InputError, match="it is of another sheet"):
        tabulate_failures(exported[1], [sheet], tmp_path / "modes.csv", tmp_path / "labels.csv")
    sheet.write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="lacks the column annotator"):
        tabulate_failures(exported[1], [sheet], tmp_path / "modes.csv", tmp_path / "labels.csv")
    with pytest.raises(InputError, match="twice"):
        again = returned(exported[0], "ann", ["other"])
        tabulate_failures(
            exported[1], [again, again], tmp_path / "modes.csv", tmp_path / "labels.csv"
        )


def test_examples_in_docstrings() -> None:
    assert doctest.testmod(failures).failed == 0
