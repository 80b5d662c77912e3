"""Claims of the config on synthetic scores with known effects."""

import numpy as np
import pandas as pd
import pytest

import tabulate_tradeoffs
from reset_tuning.errors import InputError
from reset_tuning.stats import length_splits
from reset_tuning.stats.averages import COLUMNS
from reset_tuning.stats.bootstrap import Bootstrap
from reset_tuning.stats.cells import refuse_holes
from reset_tuning.stats.claims import Evaluated, claims_table
from reset_tuning.stats.length_splits import length_split, length_split_table, without_bins
from reset_tuning.stats.panels import Panels
from reset_tuning.stats.points import point_frame
from reset_tuning.stats.systems import tradeoff_table
from reset_tuning.tables import read_table, write_table

QUICK = Bootstrap(draws=500)
SETS = {"koala_eval": "instruction", "nq": "extractive_qa", "wikisum": "summarization"}
METRICS = {
    "instruction": [("instruction_following", "gpt-4"), ("instruction_following", "other")],
    "extractive_qa": [("span_coverage", "lexical"), ("exact_match", "lexical")],
    "summarization": [("summac_zs_entailment", "summac-zs"), ("rouge_l", "rouge-l")],
}
LEVELS = {"weak": 0.3, "strong": 0.6, "same": 0.6}
SEEDS = (1, 2, 3)


def make_rows(n: int = 60, longer: float = 1.0) -> pd.DataFrame:
    """Scores of three runs; answers of `strong` are `longer` times as long as those of others."""
    generator = np.random.default_rng(21)
    ease = {name: generator.normal(0, 0.1, n) for name in SETS}
    tokens = {name: generator.integers(2, 30, n) for name in SETS}
    rows = []
    for run, level in LEVELS.items():
        for seed in SEEDS:
            shift = generator.normal(0, 0.005)
            for name, kind in SETS.items():
                lengths = tokens[name] * (longer if run == "strong" else 1.0)
                identity = {"run": run, "seed": seed, "checkpoint": "best", "dataset": name}
                identity |= {"kind": kind, "role": "seen", "status": "ok"}
                values = {("n_tokens", "generation"): lengths}
                for metric, scorer in METRICS[kind]:
                    noise = generator.normal(0, 0.05, n)
                    values[metric, scorer] = np.clip(level + shift + ease[name] + noise, 0, 1)
                for (metric, scorer), scores in values.items():
                    rows += [
                        identity | {"example_id": f"{name}-{i}", "metric": metric}
                        | {"scorer": scorer, "value": float(score)}
                        for i, score in enumerate(scores)
                    ]  # fmt: skip
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    return make_rows()


@pytest.fixture
def points(point):
    made = [point(run, seed, "best") for run in LEVELS for seed in SEEDS]
    made += [point("strong", seed, "start", ("weak", seed, "best")) for seed in SEEDS]
    made += [point("strong", seed, "last", ("strong", seed, "best")) for seed in SEEDS]
    return point_frame(made)


@pytest.fixture
def evaluated(rows, points, headlines):
    return Evaluated(Panels(rows, points), headlines, ["other"])


def claim(*contrasts, family: str = "paper") -> dict:
    return {
        "statement": "It is so.",
        "source": "test",
        "family": family,
        "contrasts": list(contrasts),
    }


def contrast(of: str, minus: str, expect: str = "higher", column: str = "overall", **more) -> dict:
    sides = {"of": {"run": of, "checkpoint": "best"}, "minus": {"run": minus, "checkpoint": "best"}}
    return {"column": column, "expect": expect, **sides, **more}


def results_of(evaluated, tmp_path=None, **claims) -> pd.DataFrame:
    table = claims_table(claims, evaluated, QUICK, power=0.8)
    if tmp_path:
        write_table(table, tmp_path / "claims.csv", "claims")
    return table.set_index(["claim", "contrast"])


def test_known_effects_get_the_right_verdicts(evaluated, tmp_path) -> None:
    table = results_of(
        evaluated,
        tmp_path,
        better=claim(contrast("strong", "weak")),
        worse=claim(contrast("strong", "weak", "lower")),
        alike=claim(contrast("same", "strong", "equal", margin=0.2)),
        too_close=claim(contrast("same", "strong", "equal", margin=1e-4)),
        not_worse=claim(contrast("same", "strong", "not_lower", margin=0.2)),
    )
    row = table.loc[("better", 1)]
    assert row["effect"] == pytest.approx(0.3, abs=0.03)
    assert row["low"] < 0.3 < row["high"] or abs(row["effect"] - 0.3) < 0.03
    assert row["n_seeds"] == 3
    assert row["n"] == 180
    assert row["p"] < 1e-2
    assert row["mde"] < 0.1
    verdicts = table["verdict"].droplevel(1).to_dict()
    assert verdicts == {
        "better": "supported",
        "worse": "contradicted",
        "alike": "supported",
        "too_close": "inconclusive",
        "not_worse": "supported",
    }
    # The margin counts for these very weights too.
    assert table.loc[("not_worse", 1), "p_examples"] < 1e-3
    assert table.loc[("alike", 1), "p_examples"] < 1e-3 < table.loc[("too_close", 1), "p_examples"]
    assert table.loc[("too_close", 1), "reason"] == "not told from chance at this size"


def test_a_configuration_without_claims_has_an_empty_table(evaluated, tmp_path) -> None:
    table = claims_table({}, evaluated, QUICK, power=0.8)
    refuse_holes(table, "claims", strict=True)
    write_table(table, tmp_path / "claims.csv", "claims")
    assert read_table(tmp_path / "claims.csv", "claims").empty


def test_a_claim_holds_only_if_all_its_contrasts_do(evaluated) -> None:
    both = claim(contrast("strong", "weak"), contrast("strong", "same"))
    table = results_of(evaluated, both=both)
    assert table["verdict"].tolist() == ["inconclusive"] * 2
    assert table["claim_p"].iloc[0] == pytest.approx(table["p"].max())


def test_p_values_are_adjusted_within_a_family(evaluated) -> None:
    one = claim(contrast("strong", "weak"))
    alone = results_of(evaluated, one=one)
    other = {f"other-{i}": claim(contrast("same", "strong"), family="side") for i in range(5)}
    among = results_of(evaluated, one=one, **other)
    same_family = results_of(evaluated, one=one, two=claim(contrast("same", "strong")))
    assert alone["p_holm"].iloc[0] == among["p_holm"].iloc[0] == alone["claim_p"].iloc[0]
    assert same_family["p_holm"].iloc[0] == pytest.approx(2 * alone["claim_p"].iloc[0])


def test_an_unknown_system_is_a_hole_with_its_reason(rows, points, headlines, tmp_path) -> None:
    unknown = {"nobody": "the configuration has no run or model nobody"}
    evaluated = Evaluated(Panels(rows, points), headlines, unknown=unknown)
    table = results_of(
        evaluated,
        tmp_path,
        lost=claim(contrast("strong", "weak"), contrast("nobody", "weak")),
        kept=claim(contrast("strong", "weak")),
    )
    lost = table.loc[("lost", 2)]
    assert pd.isna(lost["effect"])
    assert lost["note"] == lost["reason"] == "the configuration has no run or model nobody"
    assert table.loc[("lost", 1), "verdict"] == "untested"
    assert table.loc[("lost", 1), "effect"] == table.loc[("kept", 1), "effect"]
    assert table.loc[("kept", 1), "p_holm"] == table.loc[("kept", 1), "claim_p"]
    with pytest.raises(InputError, match="no run or model nobody"):
        refuse_holes(table.reset_index(), "claims", strict=True)
    refuse_holes(table.reset_index(), "claims", strict=True, expected=unknown.values())


def test_a_missing_seed_is_left_out_on_both_sides(rows, points, headlines) -> None:
    less = rows[(rows["run"] != "strong") | (rows["seed"] != 2)]
    table = results_of(
        Evaluated(Panels(less, points), headlines), one=claim(contrast("strong", "weak"))
    )
    assert table["n_seeds"].iloc[0] == 2
    assert table["note"].iloc[0] == "no scores of seed 2"


def test_one_seed_decides_nothing_about_trainings(rows, points, headlines) -> None:
    first = Panels(rows[rows["seed"] == 1], points[points["seed"] == 1])
    row = results_of(Evaluated(first, headlines), one=claim(contrast("strong", "weak"))).iloc[0]
    assert row["verdict"] == "untested"
    assert row["reason"].startswith("one seed cannot tell")
    assert row["p_examples"] < 0.01


def test_another_judge_and_a_held_out_one(rows, points, headlines, evaluated) -> None:
    asked = contrast("strong", "weak", column="instruction_following", judge="held_out")
    by_other = results_of(evaluated, one=claim(asked)).iloc[0]
    by_gpt4 = results_of(
        evaluated, one=claim({k: v for k, v in asked.items() if k != "judge"})
    ).iloc[0]
    assert by_other["effect"] != by_gpt4["effect"]
    # By its own name, under which the trace of a claim finds its scores.
    assert by_other["quantity"] == "instruction_following by judge other"
    nobody = Evaluated(Panels(rows, points), headlines)
    hole = results_of(nobody, one=claim(asked)).iloc[0]
    assert "names no judge" in hole["reason"]
    assert hole["quantity"] == "instruction_following by judge held_out"


def failures(annotator: str, wrong: int, paraphrase: int, run: str = "weak") -> pd.DataFrame:
    """Return one person's labels of the failures of a run, which are others under each seed."""
    labels = ["wrong_span"] * wrong + ["paraphrase_of_gold"] * paraphrase
    return pd.DataFrame(
        {"run": run, "seed": seed, "checkpoint": "best", "annotator": annotator, "label": label}
        | {"item": f"{run} {seed} {number}"}
        for seed in SEEDS
        for number, label in enumerate(labels)
    )


def label_claim(run: str) -> dict:
    labels = {"of": ["wrong_span"], "minus": ["paraphrase_of_gold"]}
    return claim({"labels": labels, "of": {"run": run, "checkpoint": "best"}, "expect": "higher"})


def labelled(rows, points, headlines, table: pd.DataFrame) -> pd.Series:
    evaluated = Evaluated(Panels(rows, points), headlines, failures=table)
    return results_of(evaluated, one=label_claim("weak")).iloc[0]


def test_labels_of_people_decide_and_guesses_do_not(rows, points, headlines) -> None:
    guesses = labelled(rows, points, headlines, failures("machine", 20, 5))
    assert guesses["effect"] == pytest.approx(0.6)
    assert guesses["verdict"] == "untested"
    assert "no finding" in guesses["reason"]
    both = pd.concat([failures("machine", 5, 20), failures("anna", 20, 5)])
    people = labelled(rows, points, headlines, both)
    assert people["effect"] == pytest.approx(0.6)
    assert people["verdict"] == "supported"
    # Each seed has failures of its own, 75 of a variance of 1 - .6² in all: all is interaction, and
    # an interval leaves seven tenths of it with the examples.
    error = np.sqrt(0.7 * 0.64 / 74)
    assert people["high"] - people["low"] == pytest.approx(2 * 1.99 * error, rel=0.15)


def test_more_people_are_no_more_failures(rows, points, headlines) -> None:
    """A failure counts once, with the mean of what its annotators say."""
    anna = failures("anna", 14, 11)
    agreed = pd.concat([anna, anna.assign(annotator="bob"), anna.assign(annotator="cy")])
    columns = ["n", "effect", "low", "high", "p", "p_examples"]
    alone, together = (labelled(rows, points, headlines, table) for table in (anna, agreed))
    assert together[columns].tolist() == alone[columns].tolist() and alone["n"] == 25
    # Bob saw no failure but wrong spans: those on which the two disagree are worth nothing.
    bob = failures("bob", 25, 0)
    split = labelled(rows, points, headlines, pd.concat([anna, bob]))
    assert split["effect"] == pytest.approx(14 / 25) and split["n"] == 25
    # He may have labelled some failures only, or others than she.
    for table in (anna[:40], anna[40:]):
        part = bob.loc[table.index]
        some = labelled(rows, points, headlines, pd.concat([anna.drop(table.index), part]))
        assert some["n"] == 25


@pytest.mark.parametrize("wrong", [40, 20])
def test_labels_of_two_systems_are_of_different_failures(rows, points, headlines, wrong) -> None:
    table = pd.concat([failures("anna", 20, 5), failures("anna", wrong, 5, "strong")])
    evaluated = Evaluated(Panels(rows, points), headlines, failures=table)
    both = results_of(evaluated, weak=label_claim("weak"), strong=label_claim("strong"))
    alone = results_of(evaluated, weak=label_claim("weak"))
    assert both.loc[("weak", 1), "low"] == alone.loc[("weak", 1), "low"]
    assert both.loc[("strong", 1), "effect"] == pytest.approx((wrong - 5) / (wrong + 5))
    # Equal labels, but other failures: the draws are others and so are the intervals' ends.
    ends = ["low", "high"]
    assert both.loc[("weak", 1), ends].tolist() != both.loc[("strong", 1), ends].tolist()


def test_a_change_of_length_alone_is_told_from_one_of_scores(
    points, headlines, monkeypatch
) -> None:
    """At equal length the true change of 0.3 is left, though answers are three times as long."""
    rows = make_rows(n=200, longer=1.5)
    split = length_split(Panels(rows, points), "strong", COLUMNS["faithfulness"], headlines)
    assert sum(split.shares("start")) == pytest.approx(1)
    assert split.at_equal_length("best").mean == pytest.approx(0.3, abs=0.04)

    # Scores that depend on the length alone: the change vanishes at equal length.
    lengths = rows[rows["metric"] == "n_tokens"].set_index(["run", "seed", "example_id"])["value"]
    scored = rows["metric"].isin(["span_coverage", "summac_zs_entailment"])
    keys = pd.MultiIndex.from_frame(rows.loc[scored, ["run", "seed", "example_id"]])
    rows.loc[scored, "value"] = (1 / lengths.reindex(keys)).to_numpy()
    monkeypatch.setattr(length_splits, "BINS", 12)  # narrow ones hold answers of like length
    split = length_split(Panels(rows, points), "strong", COLUMNS["faithfulness"], headlines)
    raw = split.all_lengths("best").mean - split.all_lengths("start").mean
    assert raw < -0.03
    assert abs(split.at_equal_length("best").mean) < 0.35 * abs(raw)


def test_the_length_split_table(rows, points, headlines, tmp_path) -> None:
    spec = {"label": "CD→IF", "run": "strong", "length_split": "faithfulness_abstractive"}
    table = length_split_table(Panels(rows, points), {"cd-to-if": spec}, headlines, QUICK)
    write_table(table, tmp_path / "length_split.csv", "length_split")
    bins = table[(table["quantity"] == "score") & (table["bin"] != "all")]
    everything = table[(table["quantity"] == "score") & (table["bin"] == "all")]
    for checkpoint in ("start", "best", "last"):
        n = bins.loc[bins["checkpoint"] == checkpoint, "n"].sum()
        assert n == everything.loc[everything["checkpoint"] == checkpoint, "n"].iloc[0]
    changes = table[table["quantity"] == "change_vs_start"].set_index(["checkpoint", "bin"])
    equal, raw = (changes.loc[("best", name)] for name in ("at equal length", "all"))
    assert equal["mean"] == pytest.approx(0.3, abs=0.05)
    assert (equal["n"], equal["n_failed"]) == (raw["n"], raw["n_failed"])


def test_a_pipeline_need_not_be_evaluated_at_last(rows, points, headlines) -> None:
    panels = Panels(rows, points[points["checkpoint"] != "last"])
    spec = {"label": "CD→IF", "run": "strong", "length_split": "faithfulness_abstractive"}
    for make in (length_split_table, tradeoff_table):
        table = make(panels, {"cd-to-if": spec}, headlines, QUICK)
        assert list(dict.fromkeys(table["checkpoint"])) == ["start", "best"]
        assert not table["note"].str.contains("not evaluated", na=False).any()
    sides = {at: {"run": "strong", "checkpoint": at} for at in ("start", "best", "last")}
    asked = contrast("strong", "strong", equal_length=True) | {"minus": sides["start"]}
    table = results_of(Evaluated(panels, headlines), best=claim(asked),
                       last=claim(asked | {"of": sides["last"]}))  # fmt: skip
    assert table.loc[("best", 1), "verdict"] == "supported"
    assert table.loc[("last", 1), "reason"] == "strong is not evaluated at last"


def test_a_split_without_scores_is_a_hole(rows, points, headlines) -> None:
    spec = {"label": "CD→IF", "run": "nobody", "length_split": "faithfulness_abstractive"}
    table = length_split_table(Panels(rows, points), {"cd-to-if": spec}, headlines, QUICK)
    assert table["note"].tolist() == ["nobody is not evaluated at start"]


def test_a_split_leaves_a_seed_out_that_lacks_scores_of_a_test_set(rows, points, headlines) -> None:
    lost = (rows["run"] == "strong") & (rows["seed"] == 2) & (rows["metric"] == "span_coverage")
    spec = {"label": "CD→IF", "run": "strong", "length_split": "faithfulness"}
    panels = Panels(rows[~lost], points)
    table = length_split_table(panels, {"cd-to-if": spec}, headlines, QUICK)
    whole = table[(table["bin"] == "all") & (table["quantity"] == "score")].set_index("checkpoint")
    assert whole["n_seeds"].to_dict() == {"start": 3, "best": 2, "last": 2}
    assert whole["note"].dropna().to_dict() == dict.fromkeys(
        ("best", "last"), "no scores of seed 2"
    )
    with pytest.raises(InputError, match="no scores of seed 2"):
        refuse_holes(without_bins(table), "length_split", strict=True)


def test_a_length_that_no_answer_has_is_no_hole(rows, points, headlines) -> None:
    """Answers after the second stage are so long that some bins have none of them."""
    spec = {"label": "CD→IF", "run": "strong", "length_split": "faithfulness"}
    panels = Panels(make_rows(longer=20.0), points)
    table = length_split_table(panels, {"cd-to-if": spec}, headlines, QUICK)
    assert "no output counts" in table["note"].tolist()
    refuse_holes(without_bins(table), "length_split", strict=True)
    refuse_holes(without_bins(pd.DataFrame()), "length_split", strict=True)


@pytest.mark.parametrize("strict", [False, True])
def test_the_job_of_the_pipelines_stops_at_a_hole_where_it_should(
    rows, points, tmp_path, strict
) -> None:
    write_table(rows, tmp_path / "scores.parquet", "example_score")
    arguments = {
        "scores": tmp_path / "scores.parquet",
        "table": tmp_path / "tradeoff.csv",
        "length_split": tmp_path / "length_split.csv",
        "tradeoffs": {"p": {"label": "p", "run": "strong", "length_split": "faithfulness"}},
        "points": points.to_dict("records"),
        "faithfulness": {"extractive_qa": "span_coverage", "summarization": "summac_zs_entailment"},
        "task": {"extractive_qa": "exact_match", "summarization": "rouge_l"},
        "judge": "gpt-4",
        "bootstrap": {"draws": 100},
        "strict": strict,
    }
    if strict:  # no test set of these is unseen
        with pytest.raises(InputError, match="tradeoff has .* rows with holes"):
            tabulate_tradeoffs.main(**arguments)
    else:
        tabulate_tradeoffs.main(**arguments)
        assert len(read_table(tmp_path / "tradeoff.csv", "tradeoff"))
