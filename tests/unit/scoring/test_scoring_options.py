"""SummaC's options, each changed by itself, on labelled claims."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import validate_faithfulness
import validate_options
from reset_tuning.scoring import summac
from reset_tuning.scoring.means import Means
from reset_tuning.scoring.options import tabulate_options, variants
from reset_tuning.tables import read_table

SPEC = {
    "kind": "summac", "implementation": "fast", "granularity": "sentence",
    "splitter": "punkt_abbreviations", "short_answers": "undefined", "dtype": "float32",
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    claims = [
        ("The cat sat on the mat. Dr. Red ran in the rain.", "The cat ran in the rain today.", 1),
        ("The dog was blue.\n\nIt ran where the mat is.", "The dog sat on a red mat there.", 0),
        ("Rain fell in Bergen. The cat was not red.", "No.", 0),
        ("The dog ran. It fell on the blue mat.", "The dog ran on the blue mat again.", 1),
    ]
    for cut in ("val", "test"):
        path = tmp_path / "human" / f"summac_benchmark/frank_{cut}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = [{"document": d, "claim": c, "label": label} for d, c, label in claims]
        path.write_text("\n".join(map(json.dumps, lines)))
    return tmp_path / "human"


def test_every_option_is_changed_by_itself() -> None:
    spec = SPEC | {"model": "m"}
    found = list(variants(spec, ["m", "other"]))
    assert [(option, value) for option, value, _ in found] == [
        ("as configured", ""), ("granularity", "paragraph"), ("granularity", "document"),
        ("splitter", "punkt_tab"), ("splitter", "regex"), ("short_answers", "whole"),
        ("implementation", "package"), ("model", "other"),
    ]  # fmt: skip
    for option, value, changed in found[1:]:
        differing = {key for key in spec if changed.get(key) != spec[key]} - {"dtype"}
        assert differing == {option} and changed[option] == value


def test_a_silent_spec_means_the_same_to_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """The scorer, the settings that name its sidecar, and what is changed in the options' table."""
    given: dict[str, Any] = {}

    def make(**options: Any) -> SimpleNamespace:
        given.update(options)
        return SimpleNamespace(dtype="float32", entailment_index=0, contradiction_index=1)

    monkeypatch.setattr(summac, "SummaCPackage", make)
    monkeypatch.setattr(summac, "sentence_splitter", lambda name: name)
    changed = {"granularity": "document", "splitter": "regex", "short_answers": "whole"}
    monkeypatch.setattr(summac, "DEFAULTS", summac.DEFAULTS | changed)
    told = summac._settings({"model": "m"}, summac._scorer({"model": "m"}, Means()))
    assert {name: told[name] for name in changed} == changed
    assert (given["granularity"], given["splitter"]) == ("document", "regex")
    assert given["keep_short"]
    assert not {*changed.items()} & {found[:2] for found in variants({"model": "m"})}


def test_the_table_says_what_each_option_does(
    folder: Path, nli_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import nltk

    def absent(text: str) -> list[str]:
        raise LookupError

    monkeypatch.setattr(nltk, "sent_tokenize", absent)
    spec = SPEC | {"model": str(nli_model)}
    table = tmp_path / "options.csv"
    tabulate_options(folder, table, spec, [str(tmp_path / "no-model")], Means())
    rows = read_table(table, "summac_options")
    rows = rows.fillna({"value": ""}).set_index(["metric", "option", "value"])
    usual = rows.loc["summac_zs_entailment", "as configured", ""]
    assert (usual["n"], usual["n_without_score"], usual["mean_change"]) == (6, 2, 0)
    contradicted = rows.loc["summac_zs", "as configured", ""]
    assert contradicted["mean"] < usual["mean"], "use_con: contradiction is subtracted"
    whole = rows.loc["summac_zs_entailment", "short_answers", "whole"]
    assert (whole["n"], whole["n_without_score"], whole["mean_change"]) == (8, 0, 0)
    package = rows.loc["summac_zs_entailment", "implementation", "package"]
    assert package["largest_change"] <= 1e-6
    assert rows.loc["summac_zs_entailment", "granularity", "document"]["mean_change"] > 1e-4
    for option, value, why in (
        ("splitter", "punkt_tab", "nltk.downloader"),
        ("model", str(tmp_path / "no-model"), "cannot be loaded"),
    ):
        untried = rows.loc["summac_zs", option, value]
        assert untried["n"] == 0 and why in untried["state"]


@pytest.mark.parametrize("name", ["options", "validation"])
def test_validation_reads_as_much_at_once_as_the_rule_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    script = {"options": validate_options, "validation": validate_faithfulness}[name]
    asked: list[Any] = []
    monkeypatch.setattr(
        f"reset_tuning.scoring.{name}.tabulate_{name}", lambda *given: asked.extend(given)
    )
    subject = {"spec": SPEC, "models": []} if name == "options" else {"metrics": {"s": SPEC}}
    script.main(
        table=tmp_path / "t.csv", folder="f", max_rows=None, sidecar=str(tmp_path), threads=3,
        batch_size=7, batch_tokens=99, **subject,
    )  # fmt: skip
    assert Means(7, 99, 3, tmp_path) in asked
