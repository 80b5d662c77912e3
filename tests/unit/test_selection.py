import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers import ROOT
from reset_tuning import selection as selection_module
from reset_tuning.errors import InputError
from reset_tuning.selection import (
    EXAMPLE_COLUMNS,
    Selection,
    choose,
    read_examples,
    select_files,
    selected_rows,
    token_counter,
)
from reset_tuning.tables import read_parts, read_table, table_schema, with_optional, write_table
from reset_tuning.tokenizing import load_tokenizer
from reset_tuning.training.encoding import IGNORED_LABEL, Encoder

SETS = {"instruction": "instruction", "nq": "extractive_qa", "cnn_dailymail": "summarization"}
FAITHFULNESS = {
    "extractive_qa": "span_coverage",
    "abstractive_qa": "summac_zs_entailment",
    "summarization": "summac_zs_entailment",
}
TASK = {"extractive_qa": "exact_match", "abstractive_qa": "rouge_l", "summarization": "rouge_l"}
RESET = Selection(
    name="reset", judge="gpt-4", pick="best", per_set=1, weight=2.0, across_examples="random",
    faithfulness=FAITHFULNESS, task=TASK,
)  # fmt: skip

Metrics = dict[str, float | str]


def pool_of(*examples: tuple[str, str], copies: int = 1) -> pd.DataFrame:
    rows = [
        {
            "example_id": example, "dataset": name, "kind": SETS[name], "instruction": "i",
            "context": None, "question": None, "references": ["ref"], "source_row": "x",
            "set": name, "copy": copy, "prompt": f"prompt {example}",
            "response": f"original {example}", "n_prompt_tokens": 5, "n_response_tokens": 77,
            "n_context_tokens_cut": 0,
        }
        for example, name in examples
        for copy in range(copies)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def samples_of(*rows: tuple[str, int, str, int]) -> pd.DataFrame:
    """Rows of (example, sample, output, multiplicity)."""
    frame = pd.DataFrame(rows, columns=["example_id", "sample_id", "output", "multiplicity"])
    frame = frame.assign(
        run="mtl", seed=1, checkpoint="best", decoding="reset", dataset="d", arm="temperature",
        round=0, temperature=0.1, top_k=0, sampling_seed=1, n_tokens=9, finish_reason="stop",
    )  # fmt: skip
    return with_optional(frame, "generation")[table_schema("generation").names]


def scores_of(values: dict[tuple[str, int], Metrics], judge: str = "gpt-4") -> pd.DataFrame:
    """Score rows; a string instead of a number is the status of a missing score."""
    rows = [
        {
            "example_id": example, "sample_id": sample, "metric": metric,
            "scorer": judge if metric == "instruction_following" else "metric",
            "value": value if not isinstance(value, str) else math.nan,
            "status": value if isinstance(value, str) else "ok",
        }
        for (example, sample), metrics in values.items()
        for metric, value in metrics.items()
    ]  # fmt: skip
    frame = pd.DataFrame(rows).astype({"value": float})
    frame = frame.assign(run="mtl", seed=1, checkpoint="best", decoding="reset")
    return frame[table_schema("score").names]


def rating(value: float | str) -> Metrics:
    return {"instruction_following": value}


def span(em: float | str, coverage: float | str) -> Metrics:
    return {"exact_match": em, "span_coverage": coverage}


def chosen(frame: pd.DataFrame) -> dict[str, int]:
    return dict(zip(frame["example_id"], frame["sample_id"], strict=True))


def select(
    samples: pd.DataFrame,
    pool: pd.DataFrame,
    scores: pd.DataFrame,
    selection: Selection,
    seed: int,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The selected rows and their ledger, of a pool in memory."""
    originals = pool[pool["copy"] == 0]
    winners, ledger = choose(samples, originals, scores, selection, seed)
    return selected_rows(winners, originals, selection), ledger


def test_context_scores_weigh_faithfulness_twice() -> None:
    pool = pool_of(("a", "nq"), ("b", "cnn_dailymail"), ("c", "instruction"))
    samples = samples_of(*[(e, i, f"{e}{i}", 1) for e in "abc" for i in (0, 1)])
    scores = scores_of(
        {
            ("a", 0): span(em=1, coverage=0), ("a", 1): span(em=0, coverage=1),
            ("b", 0): {"rouge_l": 0.9, "summac_zs_entailment": 0.1, "summac_zs": 1.0},
            ("b", 1): {"rouge_l": 0.1, "summac_zs_entailment": 0.6, "summac_zs": -1.0},
            ("c", 0): rating(0.25), ("c", 1): rating(0.75),
        }
    )  # fmt: skip
    rows, _ = select(samples, pool, scores, RESET, seed=1)
    assert chosen(rows) == {"a": 1, "b": 1, "c": 1}
    by_example = rows.set_index("example_id")
    assert by_example["selection_score"].to_dict() == {"a": 2.0, "b": pytest.approx(1.3), "c": 1.5}
    assert by_example.loc["a", ["prompt", "response"]].tolist() == ["prompt a", "a1"]
    assert by_example["n_response_tokens"].tolist() == [9, 9, 9]
    light, _ = select(samples, pool, scores, replace(RESET, weight=0.5), seed=1)
    assert chosen(light)["a"] == 0


def test_only_the_named_judge_counts() -> None:
    pool, samples = pool_of(("c", "instruction")), samples_of(("c", 0, "x", 1), ("c", 1, "y", 1))
    scores = pd.concat(
        [
            scores_of({("c", 0): rating(1.0), ("c", 1): rating(0.0)}, judge="gpt-4"),
            scores_of({("c", 0): rating(0.0), ("c", 1): rating(1.0)}, judge="chatgpt"),
        ]
    )
    assert chosen(select(samples, pool, scores, RESET, seed=1)[0]) == {"c": 0}
    chatgpt = replace(RESET, judge="chatgpt")
    assert chosen(select(samples, pool, scores, chatgpt, seed=1)[0]) == {"c": 1}


@pytest.mark.parametrize("status", ["undefined", "unparsed", "refused", "error:timeout"])
def test_a_sample_without_a_needed_score_is_no_candidate(status: str) -> None:
    pool, samples = pool_of(("a", "nq")), samples_of(("a", 0, "x", 1), ("a", 1, "y", 1))
    for missing in (span(em=1, coverage=status), span(em=status, coverage=1)):
        scores = scores_of({("a", 0): missing, ("a", 1): span(em=0, coverage=0)})
        rows, ledger = select(samples, pool, scores, RESET, seed=1)
        assert chosen(rows) == {"a": 1}
        assert ledger.set_index("rule").loc["not_scored", "n_dropped"] == 1


def test_an_empty_output_never_wins() -> None:
    pool, samples = pool_of(("a", "nq")), samples_of(("a", 0, " ", 9), ("a", 1, "y", 1))
    scores = scores_of({("a", 0): span(em=0, coverage=0), ("a", 1): span(em=0, coverage=0)})
    scores.loc[scores["sample_id"] == 0, "status"] = "empty_output"
    for pick in ("best", "random"):
        rows, ledger = select(samples, pool, scores, replace(RESET, pick=pick), seed=1)
        assert chosen(rows) == {"a": 1}
        assert ledger.set_index("rule").loc["empty_output", "n_dropped"] == 1


def test_ties_go_to_the_lower_temperature_and_then_to_the_lower_number() -> None:
    pool, rows = pool_of(("a", "nq")), [("a", sample, f"x{sample}", sample) for sample in range(4)]
    samples = samples_of(*rows).assign(temperature=[0.7, 0.3, 0.2, 0.2])
    scores = scores_of({("a", sample): span(em=1, coverage=1) for sample in range(4)})
    for seed in range(3):
        assert chosen(select(samples, pool, scores, RESET, seed)[0]) == {"a": 2}
        assert chosen(select(samples[::-1], pool, scores[::-1], RESET, seed)[0]) == {"a": 2}


def test_an_output_of_several_draws_ties_at_the_lowest_of_their_temperatures() -> None:
    """Its row has the temperature of its first draw, which may be that of the top-k arm."""
    pool, rows = pool_of(("a", "nq")), [("a", 0, "x", 2), ("a", 1, "y", 1), ("a", 2, "z", 1)]
    samples = samples_of(*rows).assign(temperature=[1.0, 0.3, 0.2])
    scores = scores_of({("a", sample): span(em=1, coverage=1) for sample in range(3)})
    assert chosen(select(samples, pool, scores, RESET, seed=1)[0]) == {"a": 2}
    samples["temperatures"] = [[1.0, 0.1], [0.3], [0.2]]
    assert chosen(select(samples, pool, scores, RESET, seed=1)[0]) == {"a": 0}


def test_ties_may_go_to_the_more_frequent_output_and_then_to_a_seeded_draw() -> None:
    pool = pool_of(*[(f"e{i}", "nq") for i in range(40)])
    selection = replace(RESET, per_set=40, ties="frequency")
    rows = [(f"e{i}", sample, f"x{sample}", 1) for i in range(40) for sample in range(3)]
    scores = scores_of({row[:2]: span(em=1, coverage=1) for row in rows})
    frequent = [(e, s, output, 2 if s == 1 else 1) for e, s, output, _ in rows]
    assert set(chosen(select(samples_of(*frequent), pool, scores, selection, 1)[0]).values()) == {1}
    first = chosen(select(samples_of(*rows), pool, scores, selection, seed=1)[0])
    assert first == chosen(select(samples_of(*rows[::-1]), pool, scores, selection, seed=1)[0])
    assert set(first.values()) == {0, 1, 2}
    assert first != chosen(select(samples_of(*rows), pool, scores, selection, seed=2)[0])


def test_a_random_pick_follows_the_multiplicity() -> None:
    names = [f"e{i}" for i in range(400)]
    pool = pool_of(*[(name, "nq") for name in names])
    rows = [(name, sample, f"x{sample}", (1, 3)[sample]) for name in names for sample in (0, 1)]
    scores = scores_of({row[:2]: span(em=1 - row[1], coverage=1) for row in rows})
    selection = replace(RESET, pick="random", per_set=400)
    picked = chosen(select(samples_of(*rows), pool, scores, selection, seed=1)[0])
    assert 0.68 < sum(picked.values()) / 400 < 0.82


def test_controls_keep_the_same_examples() -> None:
    names = [f"e{i}" for i in range(30)]
    pool = pool_of(*[(name, "nq") for name in names], copies=2)
    rows = [(name, sample, f"{name} {sample}", 1) for name in names for sample in range(3)]
    scores = scores_of(
        {row[:2]: span(em=row[1] == 1, coverage=int(row[0][1:]) % 2) for row in rows}
    )
    for order in ("random", "top_score"):
        selection = replace(RESET, per_set=10, across_examples=order)
        kept = {
            pick: select(samples_of(*rows), pool, scores, replace(selection, pick=pick), 1)[0]
            for pick in ("best", "random", "original")
        }
        examples = {pick: sorted(frame["example_id"]) for pick, frame in kept.items()}
        assert examples["best"] == examples["random"] == examples["original"]
        assert len(examples["best"]) == 10
        original = kept["original"]
        assert original["response"].tolist() == [f"original {e}" for e in original["example_id"]]
        assert original["sample_id"].isna().all() and original["selection_score"].isna().all()
        assert set(original["n_response_tokens"]) == {77}


def test_examples_are_kept_at_random_or_by_score() -> None:
    names = [f"e{i:02}" for i in range(20)]
    pool = pool_of(*[(name, "nq") for name in names])
    samples = samples_of(*[(name, 0, "x", 1) for name in names])
    scores = scores_of({(name, 0): span(em=0, coverage=i / 20) for i, name in enumerate(names)})
    top = replace(RESET, per_set=5, across_examples="top_score")
    assert sorted(chosen(select(samples, pool, scores, top, seed=1)[0])) == names[-5:]
    draws = [
        set(chosen(select(samples, pool, scores, replace(RESET, per_set=n), 1)[0])) for n in (5, 9)
    ]
    assert draws[0] < draws[1] and sorted(draws[0]) not in (names[:5], names[-5:])


def test_too_few_examples_are_an_instruction() -> None:
    pool = pool_of(("a", "nq"), ("b", "nq"), ("c", "instruction"))
    samples = samples_of(("a", 0, "x", 1), ("b", 0, "y", 1), ("c", 0, "z", 1))
    scores = scores_of({("a", 0): span(1, 1), ("b", 0): span(1, "undefined"), ("c", 0): rating(1)})
    with pytest.raises(InputError, match=r"the set instruction has 1 .* raise examples_per_set"):
        select(samples, pool, scores, replace(RESET, per_set=2), seed=1)


def test_a_metric_from_two_scorers_is_refused() -> None:
    pool, samples = pool_of(("a", "nq")), samples_of(("a", 0, "x", 1))
    scores = scores_of({("a", 0): span(1, 1)})
    twice = pd.concat([scores, scores.assign(scorer="other")])
    with pytest.raises(InputError, match="two scorers"):
        select(samples, pool, twice, RESET, seed=1)


def test_samples_of_another_pool_are_refused() -> None:
    scores = scores_of({("a", 0): span(1, 1)})
    with pytest.raises(InputError, match="not in the pool's mixture"):
        select(samples_of(("z", 0, "x", 1)), pool_of(("a", "nq")), scores, RESET, seed=1)


@pytest.mark.parametrize(
    "change", [{"pick": "worst"}, {"across_examples": "alphabet"}, {"cut_off": "mend"}]
)
def test_unknown_choices_are_refused(change: dict[str, str]) -> None:
    with pytest.raises(InputError, match=r"selections\.reset\."):
        replace(RESET, **change)


STATUS_OR_VALUE = st.one_of(st.sampled_from([0.0, 0.5, 1.0]), st.sampled_from(["undefined"]))
SAMPLE = st.tuples(st.sampled_from(["", "x", "y"]), st.integers(1, 7), STATUS_OR_VALUE)
POOL = st.dictionaries(
    st.tuples(st.sampled_from("abcdefgh"), st.just("nq"))
    | st.tuples(st.sampled_from("ijklmnop"), st.just("instruction")),
    st.lists(SAMPLE, max_size=4),
    min_size=1,
)


@settings(max_examples=60)
@given(POOL, st.sampled_from(["best", "random", "original"]), st.integers(0, 2))
def test_every_sample_is_accounted_for(
    examples: dict[tuple[str, str], list[tuple[str, int, float | str]]], pick: str, per_set: int
) -> None:
    """Rows in = named drops + rows out, step by step, and the out rows are the selected ones."""
    rows, values = [], {}
    for (example, name), group in examples.items():
        for sample, (output, multiplicity, value) in enumerate(group):
            rows.append((example, sample, output, multiplicity))
            values[example, sample] = span(value, 1.0) if name == "nq" else rating(value)
    if not rows:
        return
    selection = replace(RESET, pick=pick, per_set=per_set)
    try:
        selected, ledger = select(
            samples_of(*rows), pool_of(*examples), scores_of(values), selection, seed=3
        )
    except InputError as error:
        assert "raise examples_per_set" in str(error)
        return
    assert (ledger["n_in"] == ledger["n_dropped"] + ledger["n_out"]).all()
    assert ledger.loc[ledger["step"] == 0, "n_in"].sum() == len(rows)
    for item, part in ledger.groupby("item"):
        assert part["n_in"].tolist()[1:] == part["n_out"].tolist()[:-1]
        assert part["n_out"].iloc[-1] == per_set == (selected["set"] == item.split("/")[-1]).sum()
    if pick != "original":
        assert all(values[key] for key in chosen(selected).items())
        assert (selected["response"] != "").all() and selected["selection_score"].notna().all()


def test_files_are_read_and_written(tmp_path: Path) -> None:
    pool = pool_of(("a", "nq"), ("c", "instruction"), copies=2)
    write_table(pool, tmp_path / "train.parquet", "mixture")
    samples = samples_of(("a", 0, "x y", 1), ("c", 0, "z", 1))
    write_table(samples, tmp_path / "samples.parquet", "generation")
    write_table(scores_of({("a", 0): span(1, 1)}), tmp_path / "lexical.parquet", "score")
    write_table(scores_of({("c", 0): rating(1)}), tmp_path / "gpt-4.parquet", "score")
    files = [tmp_path / "lexical.parquet", tmp_path / "gpt-4.parquet"]
    for pick in ("best", "original"):
        select_files(
            tmp_path / "samples.parquet", tmp_path / "train.parquet", files,
            tmp_path / "selected.parquet", tmp_path / "ledger.csv", replace(RESET, pick=pick), 1,
            count_tokens=lambda texts: [len(text.split()) for text in texts],
        )  # fmt: skip
        selected = read_table(tmp_path / "selected.parquet", "selected").set_index("example_id")
        counts = {"a": 2, "c": 1} if pick == "best" else {"a": 77, "c": 77}
        assert selected["n_response_tokens"].to_dict() == counts
        assert len(read_table(tmp_path / "ledger.csv", "ledger")) == 10


def test_of_a_mixture_only_the_texts_of_what_is_selected_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"e{number:02}" for number in range(40)]
    pool = pool_of(*[(name, "nq") for name in names], copies=2)
    samples = samples_of(*[(name, 0, "x", 1) for name in names[::4]])
    scores = scores_of({(name, 0): span(1, 1) for name in names[::4]})
    frames = {"mixture": pool, "generation": samples, "score": scores}
    files = {name: tmp_path / f"{name}.parquet" for name in frames}
    for name, frame in frames.items():
        write_table(frame, files[name], name)
    read = {"rows": 0}

    def counted(path: Path, name: str, n_rows: int, columns: list[str] | None = None) -> Iterator:
        for part in read_parts(path, name, n_rows, columns):
            read["rows"] = max(read["rows"], 0 if columns else len(part))
            yield part

    monkeypatch.setattr(selection_module, "_ROWS", 7)
    monkeypatch.setattr(selection_module, "_LIGHT_ROWS", 11)
    monkeypatch.setattr(selection_module, "read_parts", counted)
    monkeypatch.setattr(selection_module, "read_table", whole_but_the_mixture)
    nine = replace(RESET, per_set=9)
    selected, ledger = tmp_path / "selected.parquet", tmp_path / "ledger.csv"
    select_files(
        files["generation"], files["mixture"], [files["score"]], selected, ledger, nine, seed=1
    )
    in_memory = tmp_path / "in_memory.parquet"
    rows, counts = select(samples, pool, scores, nine, seed=1)
    write_table(rows, in_memory, "selected")
    assert read_table(selected, "selected").equals(read_table(in_memory, "selected"))
    assert read_table(ledger, "ledger")["n_out"].tolist() == counts["n_out"].tolist()
    assert read["rows"] == 7
    examples = read_examples(files["mixture"], samples)
    assert list(examples) == EXAMPLE_COLUMNS and len(examples) < len(names)


def whole_but_the_mixture(path: Path, name: str) -> pd.DataFrame:
    assert name != "mixture", "15 GB at full size"
    return read_table(path, name)


def test_a_set_without_samples_is_missed(tmp_path: Path) -> None:
    write_table(pool_of(("a", "nq"), ("c", "instruction")), tmp_path / "m.parquet", "mixture")
    samples, scores = samples_of(("a", 0, "x", 1)), scores_of({("a", 0): span(1, 1)})
    examples = read_examples(tmp_path / "m.parquet", samples)
    with pytest.raises(InputError, match="the set instruction has 0 with a scored sample"):
        choose(samples, examples, scores, RESET, seed=1)


def test_the_tokens_of_a_response_are_those_that_are_learnt() -> None:
    """The end token is one of them: a sample that fits without it would stop the training."""
    model = str(ROOT / "resources" / "mini" / "instruct")
    responses = ["paris", "the answer is paris .", ""]
    rows = {"prompt": ["who ?"] * len(responses), "response": responses}
    labels = Encoder(load_tokenizer(model), max_length=99)(rows)["labels"]
    learnt = [sum(label != IGNORED_LABEL for label in row) for row in labels]
    count = token_counter(model)
    assert count(responses) == learnt and learnt[-1] == 1
    assert count([]) == []


def test_a_sample_that_does_not_fit_the_model_is_no_candidate() -> None:
    pool = pool_of(("a", "nq"))
    samples = samples_of(("a", 0, "long", 1), ("a", 1, "x", 1))
    samples["n_tokens"] = [50, 1]
    scores = scores_of({("a", 0): span(1, 1), ("a", 1): span(0, 1)})
    together = int(pool["n_prompt_tokens"].iloc[0]) + 50
    for room, winner, n_dropped in ((together, 0, 0), (together - 1, 1, 1), (50, 1, 1)):
        rows, ledger = select(samples, pool, scores, replace(RESET, max_length=room), 1)
        assert rows["sample_id"].tolist() == [winner], "prompt and output share the room"
        assert ledger.set_index("rule").loc["does_not_fit", "n_dropped"] == n_dropped


def test_a_sample_cut_at_the_limit_is_a_candidate_unless_the_option_drops_it() -> None:
    pool = pool_of(("a", "nq"))
    samples = samples_of(("a", 0, "begun and", 7), ("a", 1, "whole", 1), ("a", 2, "", 1))
    samples["finish_reason"] = ["length", "stop", "length"]
    scores = scores_of({("a", sample): span(em=1 - sample / 2, coverage=1) for sample in range(3)})
    rows, ledger = select(samples, pool, scores, RESET, seed=1)
    assert chosen(rows) == {"a": 0}
    assert "cut_off" not in set(ledger["rule"])
    for pick in ("best", "random"):
        dropping = replace(RESET, cut_off="drop", pick=pick)
        rows, ledger = select(samples, pool, scores, dropping, seed=1)
        assert chosen(rows) == {"a": 1}
        assert ledger.set_index("rule").loc["cut_off", "n_dropped"] == 1
        assert (ledger["n_in"] == ledger["n_dropped"] + ledger["n_out"]).all()
