"""Other weights and judges over one stored pool."""

import weakref
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from test_selection import (
    FAITHFULNESS,
    RESET,
    TASK,
    pool_of,
    rating,
    samples_of,
    scores_of,
    span,
)

import select_samples
import tabulate_what_if
from reset_tuning import selection
from reset_tuning.tables import read_table, write_table
from reset_tuning.whatif import Pool, alternatives, read_pool, write_what_if


def the_pool() -> Pool:
    """Extractive: faithfulness and task disagree in a, agree in b. Instruction: judges disagree."""
    originals = pool_of(("a", "nq"), ("b", "nq"), ("c", "instruction"))
    samples = samples_of(*[(e, i, f"{e}{i}", 1) for e in "abc" for i in (0, 1)], ("c", 2, "", 1))
    samples["temperature"] = samples["sample_id"] / 10 + 0.1
    gpt = scores_of(
        {
            ("a", 0): span(em=1, coverage=0), ("a", 1): span(em=0, coverage=1),
            ("b", 0): span(em=0, coverage=0), ("b", 1): span(em=1, coverage=1),
            ("c", 0): rating(0.25), ("c", 1): rating(0.75), ("c", 2): rating(0.9),
        }
    )  # fmt: skip
    chat = scores_of({("c", 0): rating(1.0), ("c", 1): rating(0.5)}, judge="chatgpt")
    return Pool(RESET, 1, samples, originals, pd.concat([gpt, chat], ignore_index=True))


def written(pools: Iterable[Pool], folder: Path) -> list[pd.DataFrame]:
    names = ("what_if", "selection_margins", "selection_settings")
    paths = [folder / f"{name}.csv" for name in names]
    write_what_if(pools, *paths)
    return [read_table(path, name) for path, name in zip(paths, names, strict=True)]


def test_winners_change_where_the_scores_disagree(tmp_path: Path) -> None:
    changes, _, _ = written([the_pool()], tmp_path)
    shares = changes.set_index(["alternative", "set"])["share_changed"]
    assert shares["weight 0.5", "nq"] == 0.5 and shares["weight 4", "nq"] == 0
    assert shares["no task score", "nq"] == 0
    assert shares["judge chatgpt", "instruction"] == 1 and shares["judge chatgpt", "nq"] == 0
    assert changes["n_examples"].tolist() == [
        {"instruction": 1, "nq": 2}[name] for name in changes["set"]
    ]


def test_without_the_faithful_part_only_the_task_counts(tmp_path: Path) -> None:
    changes, _, _ = written([the_pool()], tmp_path)
    row = changes.set_index(["alternative", "set"]).loc[("weight 0", "nq")]
    assert (row["n_changed"], row["n_other_text"]) == (1, 1)


def test_margins_and_settings_count_every_example_and_sample(tmp_path: Path) -> None:
    _, margins, settings = written([the_pool()], tmp_path)
    totals = margins.groupby("set")["n"].sum().to_dict()
    assert totals == {"nq": 2, "instruction": 1}
    by_label = margins[margins["n"] > 0].set_index(["set", "margin"])["n"].to_dict()
    assert by_label == {("nq", "1 to 2"): 1, ("nq", "2 to inf"): 1, ("instruction", "1 to 2"): 1}
    assert settings["n_samples"].sum() == 7 and settings["n_candidates"].sum() == 6
    assert settings["n_wins"].sum() == 3
    assert settings[settings["temperature"] == 0.2]["n_wins"].sum() == 3


def test_a_text_of_several_settings_is_no_win_of_the_first(tmp_path: Path) -> None:
    """T=0.1 came first in every row that it shared, and seemed to win."""
    samples = samples_of(("a", 0, "x", 4), ("a", 4, "y", 1), ("b", 0, "x", 1), ("b", 1, "y", 1))
    samples["temperature"] = samples["sample_id"] / 10 + 0.1
    samples["arms"] = [["temperature"] * n for n in samples["multiplicity"]]
    samples["temperatures"] = [[0.1, 0.2, 0.3, 0.4], [0.5], [0.1], [0.2]]
    samples["top_ks"] = [[0] * n for n in samples["multiplicity"]]
    best, worst = span(em=1, coverage=1), span(em=0, coverage=0)
    scores = {("a", 0): best, ("a", 4): worst, ("b", 0): worst, ("b", 1): best}
    pool = Pool(RESET, 1, samples, pool_of(("a", "nq"), ("b", "nq")), scores_of(scores))
    settings = written([pool], tmp_path)[2].set_index("temperature")
    assert settings["n_samples"].to_dict() == {0.1: 2, 0.2: 2, 0.3: 1, 0.4: 1, 0.5: 1}
    assert settings["n_candidates"].to_dict() == settings["n_samples"].to_dict()
    assert settings["n_wins"].to_dict() == {0.1: 0.25, 0.2: 1.25, 0.3: 0.25, 0.4: 0.25, 0.5: 0}


def test_a_single_candidate_and_a_tie_are_no_margin(tmp_path: Path) -> None:
    samples = samples_of(("a", 0, "x", 1), ("b", 0, "x", 1), ("b", 1, "y", 1))
    scores = scores_of({(e, i): span(em=1, coverage=1) for e, i in (("a", 0), ("b", 0), ("b", 1))})
    pool = Pool(RESET, 1, samples, pool_of(("a", "nq"), ("b", "nq")), scores)
    _, margins, _ = written([pool], tmp_path)
    found = margins[margins["n"] > 0].set_index("margin")["n"].to_dict()
    assert found == {"one candidate": 1, "tie": 1}


def test_other_metrics_are_tried_where_the_pool_has_them() -> None:
    pool = the_pool()
    assert not [name for name in alternatives(pool) if " by " in name]
    other = scores_of({("a", 0): {"span_coverage_tokens": 1.0}})
    scores = pd.concat([pool.scores, other], ignore_index=True)
    found = alternatives(replace(pool, scores=scores))
    changed = found["extractive_qa by span_coverage_tokens"].faithfulness
    assert changed == {**RESET.faithfulness, "extractive_qa": "span_coverage_tokens"}


def test_pools_are_read_from_files(tmp_path: Path) -> None:
    pool = the_pool()
    write_table(pool.samples, tmp_path / "samples.parquet", "generation")
    mixture = [pool.examples, pool.examples.assign(copy=1)]
    write_table(pd.concat(mixture), tmp_path / "mixture.parquet", "mixture")
    files = []
    for judge, rows in pool.scores.groupby("scorer"):
        files.append(tmp_path / f"{judge}.parquet")
        write_table(rows, files[-1], "score")
    read = read_pool(tmp_path / "samples.parquet", tmp_path / "mixture.parquet", files, RESET, 1)
    for ours, theirs in zip(written([pool], tmp_path), written([read], tmp_path), strict=True):
        pd.testing.assert_frame_equal(ours, theirs)


def test_one_pool_is_in_memory_at_a_time(tmp_path: Path) -> None:
    seen: list[weakref.ref[Pool]] = []

    def pools() -> Iterator[Pool]:
        for seed in (1, 2):
            assert all(pool() is None for pool in seen)
            pool = replace(the_pool(), seed=seed)
            seen.append(weakref.ref(pool))
            yield pool
            del pool

    tables = written(pools(), tmp_path)
    assert [sorted(set(table["seed"])) for table in tables] == [[1, 2]] * 3


@pytest.mark.parametrize(("max_length", "winner"), [(20, 0), (15, 1)])
def test_the_tables_describe_the_selection_that_was_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, max_length: int, winner: int
) -> None:
    """The prompt of 5 tokens leaves room for the better text only where both are counted anew."""
    counted = {"long": 12, "x": 1}
    monkeypatch.setattr(
        selection, "token_counter", lambda path: lambda texts: [counted[text] for text in texts]
    )
    samples = samples_of(("a", 0, "long", 1), ("a", 1, "x", 1))
    samples["temperature"] = samples["sample_id"] / 10 + 0.1
    scores = scores_of({("a", 0): span(1, 1), ("a", 1): span(0, 1)})
    files = [tmp_path / f"{name}.parquet" for name in ("generation", "mixture", "score")]
    for frame, path in zip((samples, pool_of(("a", "nq")), scores), files, strict=True):
        write_table(frame, path, path.stem)
    spec = {"judge": "gpt-4", "pick": "best", "per_set": 1, "weight": 2.0}
    spec["across_examples"] = "random"
    config = {"faithfulness": FAITHFULNESS, "task": TASK, "max_length": max_length}
    select_samples.main(
        samples=files[0], pool=files[1], scores=[files[2]], tokenizer_files=[],
        selected=tmp_path / "selected.parquet", ledger=tmp_path / "ledger.csv",
        selection="reset", spec=spec, judge="gpt-4", tokenizer_path="t", seed=1, **config,
    )  # fmt: skip
    entry = {"name": "reset", "seed": 1, "spec": spec, "tokenizer_path": "t"}
    entry |= {"samples": str(files[0]), "mixture": str(files[1]), "scores": [str(files[2])]}
    tables = [tmp_path / f"{name}.csv" for name in ("changes", "margins", "settings")]
    tabulate_what_if.main(
        pools=[], scores=[], tokenizer_files=[], selections=[entry],
        changes=tables[0], margins=tables[1], settings=tables[2], **config,
    )  # fmt: skip
    chosen = read_table(tmp_path / "selected.parquet", "selected")["sample_id"].tolist()
    settings = read_table(tables[2], "selection_settings")
    won = settings.loc[settings["n_wins"] > 0, "temperature"].tolist()
    assert chosen == [winner] and won == [samples["temperature"][winner]]
    assert settings["n_candidates"].sum() == 2 - winner
