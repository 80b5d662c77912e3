"""The shrunken miniature, end to end: files, numbers, partial rebuilds, bad input, report."""

import gzip
import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from browser import Page, chromium
from helpers import ROOT, planned_jobs

PACKAGES = {
    "snakemake",
    "torch",
    "transformers",
    "deepspeed",
    "datasets",
    "pandas",
    "pyarrow",
    "openai",
    "summac",
    "rouge_score",
}
TABLES = ("scores", "main_table", "tradeoff", "trajectories", "lengths", "row_ledger")


def plan(miniature, *arguments: str, configs: tuple[str, ...] = ()) -> dict[str, int]:
    """Return the jobs of a dry run; none when nothing is to be done."""
    result = miniature.snakemake("-n", *arguments, configs=configs)
    assert result.returncode == 0, result.stdout
    return planned_jobs(result.stdout)


def overlay(tmp_path: Path, content: dict) -> tuple[str]:
    path = tmp_path / "overlay.yaml"
    path.write_text(yaml.safe_dump(content))
    return (str(path),)


def table(miniature, name: str) -> pd.DataFrame:
    return pd.read_csv(miniature.results / "metrics" / f"{name}.csv")


# ---------------------------------------------------------------- what a run leaves


def test_every_table_and_figure_is_there(miniature) -> None:
    assert all((miniature.results / "metrics" / f"{name}.csv").stat().st_size for name in TABLES)
    for name in ("tradeoff-cd-to-if", "tradeoff-if-to-cd", "trajectories"):
        assert (miniature.results / "figures" / f"{name}.svg").stat().st_size
        assert (miniature.results / "figures" / f"{name}.pdf").stat().st_size


def test_each_figure_and_table_of_the_paper_has_a_file_that_shows_it(miniature) -> None:
    index = table(miniature, "paper_index")
    assert index["made"].all()
    assert all((miniature.results / name).stat().st_size for name in index["file"])
    declared = yaml.safe_load((ROOT / "resources" / "paper_index.yaml").read_text())
    assert set(index["label"]) == set(declared)


def test_main_table_has_the_systems_in_the_papers_order(miniature) -> None:
    rows = yaml.safe_load((ROOT / "config.yaml").read_text())["tables"]["main"]
    main = table(miniature, "main_table")
    assert list(main["label"]) == [row["label"] for row in rows]
    assert main["instruction_following"].between(0, 1).all()
    assert main["faithfulness"].between(0, 1).all()


def test_every_output_is_accounted_for(miniature) -> None:
    scores = table(miniature, "scores")
    excluded = scores[["n_undefined", "n_unparsed", "n_refused", "n_error"]].sum(axis=1)
    assert (scores["n"] + excluded == scores["n_outputs"]).all()
    ledger = table(miniature, "row_ledger")
    assert (ledger["n_in"] - ledger["n_dropped"] == ledger["n_out"]).all()


def test_both_arms_are_in_the_pool_and_multiplicities_add_up(miniature) -> None:
    pool = pd.read_parquet(miniature.results / "samples" / "mtl" / "seed-1" / "reset.parquet")
    assert set(pool["arm"]) == {"temperature", "top_k"}
    assert (pool.groupby("example_id")["multiplicity"].sum() == 7).all()
    larger = pd.read_parquet(miniature.results / "samples" / "mtl" / "seed-1" / "reset-s.parquet")
    assert (larger.groupby("example_id")["multiplicity"].sum() == 14).all()
    assert set(larger["example_id"]) <= set(pool["example_id"])


def test_selections_keep_the_same_examples_and_differ_in_the_response(miniature) -> None:
    chosen = {
        name: pd.read_parquet(miniature.results / "selected" / name / "seed-1.parquet")
        for name in ("reset", "random", "original")
    }
    assert {len(rows) for rows in chosen.values()} == {32}
    assert set(chosen["reset"]["example_id"]) == set(chosen["original"]["example_id"])
    assert chosen["original"]["sample_id"].isna().all()


def test_the_ten_packages_the_workflow_is_made_of_did_the_work(miniature) -> None:
    assert miniature.imported_packages() >= PACKAGES


def test_provenance_names_what_made_the_weights(miniature) -> None:
    path = miniature.results / "checkpoints" / "mtl-reset" / "seed-1" / "provenance.json"
    assert json.loads(path.read_text())["seed"] == 1


# ---------------------------------------------------------------- partial rebuilds


def test_a_second_run_has_nothing_to_do(miniature) -> None:
    assert plan(miniature, "all") == {}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("data/nq/test.parquet", {"prepare_split"}),
        ("checkpoints/mtl/seed-1/best/config.json", {"train"}),
        ("generations/mtl/seed-1/best.parquet", {"generate_outputs"}),
        ("judgments/generations/mtl/seed-1/best/gpt-4.raw.parquet", {"query_judge"}),
        ("metrics/lengths.csv", {"tabulate_lengths"}),
    ],
)
def test_a_deleted_file_is_noticed_and_rebuilt(miniature, name: str, expected: set[str]) -> None:
    path = miniature.results / name
    kept = path.with_name(f"{path.name}.kept")
    shutil.move(path, kept)
    try:
        assert expected <= set(plan(miniature, "all"))
    finally:
        shutil.move(kept, path)
    assert plan(miniature, "all") == {}


def test_a_rebuilt_file_with_the_same_content_stops_there(miniature) -> None:
    path = (
        miniature.results / "scores" / "generations" / "mtl" / "seed-1" / "best" / "lexical.parquet"
    )
    before = path.read_bytes()
    path.unlink()
    result = miniature.snakemake("all")
    assert result.returncode == 0, result.stdout[-4000:]
    assert "rule score_outputs" in result.stdout
    assert "rule train:" not in result.stdout
    assert path.read_bytes() == before
    assert plan(miniature, "all") == {}


def test_missing_files_are_made_again_and_nothing_that_stands_on_them(miniature) -> None:
    """Plain `all` would train again before it knew that the run's file is what it was."""
    names = ("runs/mtl.json", "scores/generations/llama-cd/seed-1/best/lexical.parquet")
    paths = [miniature.results / name for name in names]
    before = [path.read_bytes() for path in paths]
    for path in paths:
        path.unlink()
    assert plan(miniature, "all")["train"] >= 2
    expected = {"resolve_run": 1, "score_outputs": 1, "missing": 1}
    assert plan(miniature, "missing") == expected
    result = miniature.snakemake("missing")
    assert result.returncode == 0, result.stdout[-4000:]
    assert [path.read_bytes() for path in paths] == before
    assert plan(miniature, "all") == {}


def test_tables_made_again_are_the_same_bytes(miniature) -> None:
    """Draws of the bootstrap included; cost.csv tells of the time that its own rebuild took."""
    kept = {path: path.read_bytes() for path in (miniature.results / "metrics").glob("*.csv")}
    del kept[miniature.results / "metrics" / "cost.csv"]
    for path in kept:
        path.unlink()
    result = miniature.snakemake("all")
    assert result.returncode == 0, result.stdout[-4000:]
    assert [path.name for path, content in kept.items() if path.read_bytes() != content] == []
    assert plan(miniature, "all") == {}


def test_adding_a_seed_trains_only_that_seed(miniature) -> None:
    result = miniature.snakemake("-n", "all", "--config", "seeds=[1,2]")
    assert planned_jobs(result.stdout)["train"] == 9
    lines = [line for line in result.stdout.splitlines() if line.startswith("    wildcards: run=")]
    assert lines and all("seed=1" not in line for line in lines)


def test_a_new_learning_rate_retrains_that_run_and_what_stands_on_it(
    miniature, tmp_path: Path
) -> None:
    changed = overlay(tmp_path, {"runs": {"llama-cd": {"training": {"learning_rate": 0.0005}}}})
    result = miniature.snakemake("-n", "all", configs=changed)
    jobs = planned_jobs(result.stdout)
    assert jobs["resolve_run"] == 1
    assert jobs["train"] == 2  # llama-cd and llama-cd-if
    assert "prepare_split" not in jobs


def test_reading_the_ratings_differently_asks_no_judge_again(miniature, tmp_path: Path) -> None:
    changed = overlay(tmp_path, {"judges": {"gpt-4": {"scale": "rating_over_ten"}}})
    scores = "results/mini/scores/generations/mtl/seed-1/best/gpt-4.parquet"
    assert plan(miniature, scores, configs=changed) == {"parse_judgments": 1}


def test_saying_a_default_again_rebuilds_nothing(miniature, tmp_path: Path) -> None:
    """It moves the key to another place, which must not count as a change."""
    again = {"training": {"schedule": "cosine"}, "decodings": {"reset": {"rounds": 1}}}
    assert plan(miniature, "all", configs=overlay(tmp_path, again)) == {}


def test_more_requests_at_once_rebuild_nothing(miniature, tmp_path: Path) -> None:
    launch = {"micro_batch_size": 4, "gradient_checkpointing": True, "resume_minutes": 5}
    asked = {
        "concurrency": 2,
        "api_key_variable": "ANOTHER_NAME",
        "max_failure_share": 0.5,
        "mode": "replay",
    }
    faster = {"judges": {"gpt-4": asked}, "generation": {"batch_tokens": 99}}
    changed = overlay(tmp_path, faster | {"launch": launch})
    assert plan(miniature, "all", configs=changed) == {}


# ---------------------------------------------------------------- bad input


def test_a_missing_key_stops_before_the_first_job(miniature, tmp_path: Path) -> None:
    live = {"server": None, "api_key_variable": "A_KEY_THAT_IS_NOT_SET"}
    changed = overlay(tmp_path, {"judges": {"gpt-4": live}})
    assert plan(miniature, "all", configs=changed)  # a dry run needs no key
    result = miniature.snakemake("all", configs=changed)
    assert result.returncode != 0
    assert "set the environment variable A_KEY_THAT_IS_NOT_SET" in result.stdout
    assert "rule query_judge" not in result.stdout


@pytest.mark.parametrize(
    ("name", "spoil", "message"),
    [
        ("dolly", lambda raw: raw[: len(raw) // 2], "line"),
        ("dolly", lambda raw: gzip.compress(raw)[:-20], "truncated"),
        ("koala_eval", lambda raw: raw.replace(b"\n", b"\n{broken\n", 1), "line 2"),
    ],
    ids=["cut line", "truncated gzip", "malformed line"],
)
def test_bad_raw_files_are_one_sentence_and_leave_no_output(
    miniature, tmp_path: Path, name: str, spoil, message: str
) -> None:
    folder = miniature.results / "raw" / name
    manifest = folder / "manifest.json"
    entry = json.loads(manifest.read_text())["files"][0]
    output = miniature.results / "data" / name / f"{entry['split']}.parquet"
    kept = {path: path.read_bytes() for path in (manifest, folder / entry["path"])}
    kept |= {path: path.read_bytes() for path in output.parent.iterdir()}
    spoiled = spoil(kept[folder / entry["path"]])
    (folder / entry["path"]).write_bytes(spoiled)
    fetched = json.loads(kept[manifest])
    digest = hashlib.sha256(spoiled).hexdigest()
    fetched["files"][0] |= {"sha256": digest, "bytes": len(spoiled)}
    manifest.write_text(json.dumps(fetched))
    output.unlink()
    try:
        result = miniature.snakemake(str(output.relative_to(miniature.folder)))
        errors = [line for line in result.stdout.splitlines() if " ERROR " in line]
        assert result.returncode != 0
        assert errors and entry["path"] in errors[0] and message in errors[0], errors
        assert "Traceback" not in result.stdout
        assert not output.exists()
    finally:
        for path, content in kept.items():
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)


def test_a_raw_file_that_changed_behind_its_manifest_is_refused(miniature) -> None:
    raw = miniature.results / "raw" / "koala_eval" / "koala_test_set.jsonl"
    output = miniature.results / "data" / "koala_eval" / "test.parquet"
    kept = {path: path.read_bytes() for path in (raw, *output.parent.iterdir())}
    raw.write_bytes(kept[raw] + b"\n")
    output.unlink()
    try:
        result = miniature.snakemake(str(output.relative_to(miniature.folder)))
        assert result.returncode != 0
        assert "changed since" in result.stdout
    finally:
        for path, content in kept.items():
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)


# ---------------------------------------------------------------- report


@pytest.fixture(scope="session")
def report(miniature) -> Path:
    result = miniature.snakemake("--report", "results/mini/report.html")
    assert result.returncode == 0, result.stdout[-4000:]
    return miniature.results / "report.html"


def test_the_report_holds_the_main_table_and_says_what_the_numbers_are(report: Path) -> None:
    text = report.read_text()
    assert "main_table" in text
    assert "made world" in text


@pytest.fixture(scope="session")
def browser(report: Path, tmp_path_factory: pytest.TempPathFactory):
    with chromium(tmp_path_factory.mktemp("chromium") / "profile") as tab:
        yield tab


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 400])
def test_the_report_opens_on_a_desk_and_on_a_phone(report: Path, browser: Page, width: int) -> None:
    browser.open(report.as_uri(), width).wait_for("document.querySelector('nav li')")
    assert browser.run("document.querySelector('h1.title').getBoundingClientRect().top") >= 0
    for category in browser.run("Object.keys(categories)"):
        browser.run("app.setView({navbarMode: 'menu'})")
        browser.run(f"app.showCategory({json.dumps(category)})")
        browser.wait_for("document.querySelector('nav tbody tr')")
        assert browser.overflow() <= 0, category
    assert browser.errors == []
    assert all(request.startswith(("file:", "data:", "blob:")) for request in browser.requests)


@pytest.mark.browser
def test_every_item_has_a_caption_and_can_be_shown(report: Path, browser: Page) -> None:
    browser.open(report.as_uri()).wait_for("document.querySelector('nav li')")
    items = browser.run(
        "Object.entries(results).map(([path, one]) => "
        "[path, one.mime_type, one.data_uri.length, one.caption.length, Boolean(one.labels)])"
    )
    assert {"results/mini/examples/browser.html", "results/mini/figures/main_table.html"} <= {
        path for path, *_ in items
    }
    for path, mime, length, caption, labelled in items:
        assert caption and labelled, path
        assert mime != "text/html" or length < 2_097_152, path  # more is shown as nothing


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 400])
def test_every_page_is_filled_and_readable(miniature, browser: Page, width: int) -> None:
    pages = [*miniature.results.glob("figures/*.html"), *miniature.results.glob("examples/*.html")]
    assert len(pages) > 15
    for path in sorted(pages):
        browser.open(path.as_uri(), width)
        browser.wait_for("document.querySelector('tbody tr, article, pre')")
        assert browser.overflow() <= 0, path
        assert browser.errors == [], path
        assert browser.requests == [path.as_uri()], path


@pytest.mark.browser
def test_a_table_is_searched_and_filtered(miniature, browser: Page) -> None:
    shown = "[...document.querySelectorAll('tbody tr')].filter((row) => !row.hidden)"
    rows = table(miniature, "scores")
    browser.open((miniature.results / "figures" / "scores.html").as_uri())
    browser.wait_for(f"{shown}.length === {len(rows)}")
    browser.run(
        "(() => { const one = document.querySelector('input[type=search]');"
        " one.value = 'mtl-reset exact'; one.dispatchEvent(new Event('input')); })()"
    )
    found = rows[rows["metric"].str.contains("exact") & rows["run"].str.contains("mtl-reset")]
    assert browser.run(f"{shown}.length") == len(found)


@pytest.mark.browser
def test_the_page_of_chains_shows_the_chain_of_a_cell(miniature, browser: Page) -> None:
    browser.open((miniature.results / "figures" / "provenance.html").as_uri())
    browser.wait_for("document.querySelector('#chain details')")
    browser.run(
        "(() => { const one = document.getElementById('row'); one.value = 'w/ MTL + ReSet';"
        " one.dispatchEvent(new Event('input'));"
        " document.querySelectorAll('#chain details').forEach((one) => { one.open = true; }); })()"
    )
    browser.wait_for("document.getElementById('chain').textContent.includes('select_samples')")
    browser.wait_for("document.getElementById('chain').textContent.includes('raw/dolly')")


# ---------------------------------------------------------------- provenance


def script(miniature, name: str, *arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, str(ROOT / "scripts" / name), *arguments]
    return subprocess.run(command, cwd=miniature.folder, capture_output=True, encoding="utf-8")


@pytest.mark.parametrize(
    ("table", "row", "column", "named"),
    [
        ("main_table", ["w/ MTL + ReSet"], "faithfulness_seen", "RULE select_samples"),
        ("main_table", ["w/ ReSet"], "instruction_following", "model rule-judge"),
        ("tradeoff", ["cd-to-if", "start", "faithfulness"], "mean", "RULE train"),
        ("scores", ["mtl", "nq", "exact_match"], "mean", "RULE fetch_raw"),
    ],
)
def test_a_cell_is_traced_to_its_raw_files(
    miniature, table: str, row: list[str], column: str, named: str
) -> None:
    path = f"results/mini/metrics/{table}.csv"
    done = script(miniature, "trace_cell.py", path, "--row", *row, "--column", column)
    assert done.returncode == 0, done.stderr
    assert named.replace("fetch_raw", "write_mini_raw") in done.stdout
    assert "as in the manifest" in done.stdout
    assert "not recorded" not in done.stdout.replace("code not recorded", "")
    assert "ENVIRONMENT" in done.stdout and "results/mini/raw/nq/manifest.json" in done.stdout


def test_the_finished_run_is_as_its_manifest_says(miniature) -> None:
    done = script(miniature, "verify_run.py", "results/mini")
    assert done.returncode == 0, done.stdout


def test_the_cost_counts_every_job_once(miniature) -> None:
    cost = table(miniature, "cost").set_index("rule")
    assert cost.loc["train", "n_jobs"].sum() == 9
    assert cost.loc["total", "n_unmeasured"] == 0
    assert cost.loc["total", "wall_seconds"] > 0
