"""Chains of cells of a real small run, from the number back to the raw files."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from helpers import ROOT
from reset_tuning.errors import InputError
from reset_tuning.files import sha256_of
from reset_tuning.provenance.manifest import read_manifest
from reset_tuning.provenance.telling import trace_record, trace_text
from reset_tuning.provenance.trace import Trace, trace

RESULTS = Path("results") / "toy"


def find(toy: Path, *row: str, column: str | None = None, table: str = "main_table") -> Trace:
    folder = toy / RESULTS
    path = folder / "metrics" / f"{table}.csv"
    return trace(read_manifest(folder), folder, toy, path, row, column)


def rules(found: Trace) -> set[str]:
    return {job.rule for job in found.jobs}


def test_a_cell_leads_to_its_own_evaluations_and_to_the_raw_files(toy: Path) -> None:
    found = find(toy, "w/ MTL", column="faithfulness_seen")
    assert [(one.run, one.seed, one.dataset, one.metric) for one in found.evaluations] == [
        ("mtl", 1, "nq", "span_coverage"),
        ("mtl", 2, "nq", "span_coverage"),
    ]
    assert {one.mean for one in found.evaluations} == {"1.0"}
    assert rules(found) == {
        "tabulate_main", "collect_scores", "score_outputs", "generate_outputs", "train",
        "prepare_split", "fetch_raw",
    }  # fmt: skip
    assert "results/toy/raw/nq/raw.jsonl" in found.files
    assert "resources/base.safetensors" in found.files
    # Nothing of what the number does not depend on: another test set, the judge, another system.
    assert not [path for path in found.files if "koala_eval" in path or "gpt-4" in path]
    assert not [path for path in found.files if "vicuna-7b" in path]


def test_an_instruction_score_leads_to_the_judge(toy: Path) -> None:
    found = find(toy, "Vicuna-7B", column="instruction_following")
    manifest = read_manifest(toy / RESULTS)
    record = trace_record(found, manifest, toy / RESULTS, toy)
    assert record["judges"] == [
        {"judge": "gpt-4", "model": "gpt-4-0613", "fingerprint": "fp_1", "replies": 1}
    ]
    assert "train" not in rules(found)
    text = trace_text(found, manifest, toy / RESULTS, toy)
    assert "gpt-4: model gpt-4-0613, fingerprint fp_1, 1 rows" in text


def test_overall_is_made_of_both_families(toy: Path) -> None:
    metrics = {one.metric for one in find(toy, "w/ MTL", column="overall").evaluations}
    assert metrics == {"instruction_following", "span_coverage"}


@pytest.mark.parametrize("column", ["faithfulness_seen_sd", "faithfulness_seen_n"])
def test_a_deviation_comes_from_where_its_mean_does(toy: Path, column: str) -> None:
    mean = find(toy, "w/ MTL", column="faithfulness_seen")
    assert find(toy, "w/ MTL", column=column).files == mean.files


def test_a_cell_shows_what_stands_beside_it_and_no_other_average(toy: Path) -> None:
    values = find(toy, "w/ MTL", column="faithfulness_seen").cell.values
    assert list(values) == ["faithfulness_seen", "faithfulness_seen_sd", "faithfulness_seen_n"]
    assert list(find(toy, "w/ MTL", column="faithfulness").cell.values) == ["faithfulness"]


def test_a_row_of_scores_is_one_evaluation(toy: Path) -> None:
    found = find(toy, "mtl", "seed=2", "nq", "metric=exact_match", column="mean", table="scores")
    assert [(one.seed, one.metric) for one in found.evaluations] == [(2, "exact_match")]
    assert not [path for path in found.files if "/seed-1/" in path]


def test_the_text_names_digests_settings_seeds_and_code(toy: Path) -> None:
    found = find(toy, "w/ MTL", column="faithfulness_seen")
    manifest = read_manifest(toy / RESULTS)
    text = trace_text(found, manifest, toy / RESULTS, toy)
    for path in found.files:
        assert f"{manifest.files[path].sha256}  {path}" in text
    assert "SEEDS of the trainings: mtl: 1, 2" in text
    assert "learning_rate: 0.001" in text
    assert '{"kind": "lexical"}' in text
    (job, *_) = manifest.jobs
    for package, version in job.packages.items():  # whatever else stands before it on the line
        assert f"{package} {version}" in text
    assert "as in the manifest" in text


def test_a_number_that_was_edited_is_told(toy: Path) -> None:
    table = toy / RESULTS / "metrics" / "main_table.csv"
    table.write_text(table.read_text().replace("0.75", "0.99"))
    found = find(toy, "w/ MTL", column="overall")
    assert found.changed == ["results/toy/metrics/main_table.csv"]
    text = trace_text(found, read_manifest(toy / RESULTS), toy / RESULTS, toy)
    assert "CHANGED since the manifest was made" in text


def test_a_score_file_that_is_gone_is_no_traceback(toy: Path) -> None:
    found = find(toy, "w/ MTL", column="faithfulness_seen")
    gone = [path for path in found.files if path.startswith("results/toy/scores/")]
    assert gone
    for path in gone:
        (toy / path).unlink()
    text = trace_text(found, read_manifest(toy / RESULTS), toy / RESULTS, toy)
    assert all(path in text for path in gone)


@pytest.mark.parametrize(
    ("row", "column", "message"),
    [
        (["w/ RESET"], "overall", 'no row has w/ RESET.*\n  Vicuna-7B\n  "w/ MTL"'),
        (["run=mtl", "w/ MTL"], "accuracy", "no column 'accuracy'; it has label, run"),
        ([], "overall", "2 rows have given values"),
        (["overall=0.75"], "overall", "2 rows have overall=0.75"),
    ],
)
def test_an_unknown_row_or_column_is_told_with_those_that_exist(
    toy: Path, row: list[str], column: str, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        find(toy, *row, column=column)


def test_a_table_of_another_run_is_refused(toy: Path, tmp_path: Path) -> None:
    folder = toy / RESULTS
    copy = shutil.copy(folder / "metrics" / "main_table.csv", tmp_path)
    with pytest.raises(InputError, match="not a file of the run"):
        trace(read_manifest(folder), folder, toy, Path(copy), ["mtl"], "overall")
    (folder / "metrics" / "mine.csv").write_text("run\nmtl\n")
    with pytest.raises(InputError, match="not in the manifest"):
        find(toy, "mtl", table="mine")


def test_a_table_that_names_no_system_is_traced_by_its_files(toy: Path) -> None:
    manifest = read_manifest(toy / RESULTS)
    table = toy / RESULTS / "metrics" / "scores.csv"
    table.write_text("what,mean\neverything,0.5\n")
    found = trace(manifest, toy / RESULTS, toy, table, ["everything"], "mean")
    assert not found.evaluations
    assert {path for path in manifest.files if "/scores/" in path} <= set(found.files)


def test_the_script_prints_the_chain_also_of_results_that_were_sent(
    toy: Path, tmp_path: Path
) -> None:
    shutil.move(toy / RESULTS, tmp_path / "theirs")
    command = [sys.executable, str(ROOT / "scripts" / "trace_cell.py")]
    command += ["theirs/metrics/main_table.csv", "--row", "w/ MTL", "--column", "overall"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, encoding="utf-8", check=True)
    assert "RULE fetch_raw (2 jobs)" in done.stdout
    as_json = subprocess.run(
        [*command, "--json"], cwd=tmp_path, capture_output=True, encoding="utf-8", check=True
    )
    assert json.loads(as_json.stdout)["values"] == {"overall": "0.75"}


def test_the_script_ends_with_one_sentence(toy: Path) -> None:
    command = [sys.executable, str(ROOT / "scripts" / "trace_cell.py"), "none/metrics/x.csv"]
    done = subprocess.run(command, cwd=toy, capture_output=True, encoding="utf-8")
    assert done.returncode == 1
    assert "manifest.json cannot be read" in done.stderr and "Traceback" not in done.stderr


# ---------------------------------------------------------------- tables of other shapes


def add_table(toy: Path, name: str, text: str) -> None:
    """Put a table into the run, made by the job that made the main table."""
    path = toy / RESULTS / "metrics" / f"{name}.csv"
    path.write_text(text)
    manifest = toy / RESULTS / "manifest.json"
    content = json.loads(manifest.read_text())
    main = content["files"]["results/toy/metrics/main_table.csv"]
    entry = main | {"sha256": sha256_of(path), "bytes": path.stat().st_size}
    content["files"][f"results/toy/metrics/{name}.csv"] = entry
    manifest.write_text(json.dumps(content))


def test_a_claim_leads_to_both_of_its_sides(toy: Path) -> None:
    add_table(
        toy,
        "claims",
        "claim,contrast,of,minus,quantity,effect\n"
        "mtl-closes-the-gap,1,mtl best,vicuna-7b start,instruction_following,0.1\n"
        "other-judge,1,mtl best,vicuna-7b start,instruction_following by judge chatgpt,0.1\n"
        "named,1,mtl best,mtl start,instruction_following by judge gpt-4 at equal length,0.1\n"
        'failures,1,mtl best,,"share of failures: wrong_span, less other",0.1\n',
    )
    found = find(toy, "mtl-closes-the-gap", column="effect", table="claims")
    assert [(one.run, one.seed, one.scorer) for one in found.evaluations] == [
        ("mtl", 1, "gpt-4"),
        ("mtl", 2, "gpt-4"),
        ("vicuna-7b", 0, "gpt-4"),
    ]
    assert find(toy, "other-judge", column="effect", table="claims").evaluations == []
    named = find(toy, "named", column="effect", table="claims").evaluations
    assert [(one.seed, one.scorer) for one in named] == [(1, "gpt-4"), (2, "gpt-4")]
    counted = find(toy, "failures", column="effect", table="claims")
    assert {path for path in counted.files if "/generations/" in path} == {
        f"results/toy/generations/mtl/seed-{seed}/best.parquet" for seed in (1, 2)
    }


def test_a_number_of_one_test_set_leads_to_that_set_alone(toy: Path) -> None:
    add_table(
        toy,
        "wide",
        "label,run,checkpoint,overall_koala_eval,overall_koala_eval_low\nm,mtl,best,0.5,0.4\n",
    )
    for column in ("overall_koala_eval", "overall_koala_eval_low"):
        found = find(toy, "m", column=column, table="wide")
        assert {one.dataset for one in found.evaluations} == {"koala_eval"}


def test_a_row_that_names_a_system_by_its_label_alone_is_found(toy: Path) -> None:
    manifest = toy / RESULTS / "manifest.json"
    content = json.loads(manifest.read_text())
    system = {"label": "w/ MTL", "run": "mtl", "checkpoint": "best"}
    content["evaluation"]["tables"] = {"main": [system]}
    manifest.write_text(json.dumps(content))
    add_table(toy, "published", "label,average,published\nw/ MTL,faithfulness,0.7\n")
    found = find(toy, "w/ MTL", column="published", table="published")
    assert {(one.run, one.metric) for one in found.evaluations} == {("mtl", "span_coverage")}
