"""Draws to rows: nothing is lost, equal outputs are one row, known outputs are not made again."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reset_tuning.journal import Sidecar
from reset_tuning.sampling.backend import Completed, Completion, Request
from reset_tuning.sampling.decodings import Draw, draws_of
from reset_tuning.sampling.outputs import Engine, collapse, count_outputs, generate
from reset_tuning.sampling.progress import Progress
from reset_tuning.sampling.prompts import Prompt, count_prompts, read_prompts, write_prompts
from reset_tuning.sampling.ranks import share_of, share_size

GRID = {
    "kind": "grid",
    "max_new_tokens": 8,
    "temperatures": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7],
    "top_ks": [5, 10, 20, 50, 70, 90, 100],
}
RESET = partial(draws_of, GRID, 1)


class CountingBackend:
    """Answers with the prompt and the seed, two requests a batch; may die after some batches."""

    def __init__(self, batches: int = 1000) -> None:
        self.batches = batches
        self.outputs = 0
        self.largest = 0

    def generate(self, requests: Sequence[Request]) -> Iterator[list[Completed]]:
        self.largest = max(self.largest, len(requests))
        for start in range(0, len(requests), 2):
            if start == 2 * self.batches:
                raise RuntimeError("killed")
            batch = range(start, min(start + 2, len(requests)))
            self.outputs += sum(len(requests[index].settings) for index in batch)
            yield [(index, self._complete(requests[index])) for index in reversed(batch)]

    def _complete(self, request: Request) -> tuple[Completion, ...]:
        return tuple(
            Completion(
                f"{len(request.prompt_ids)} {setting.seed % 3}",
                2,
                "stop",
                setting.temperature,
                setting.top_k,
            )
            for setting in request.settings
        )


def prompts(count: int = 5, limit: int = 8) -> list[Prompt]:
    return [Prompt(f"e{n:03d}", "nq", "word " * (n + 1), limit) for n in range(count)]


def encode(texts: list[str]) -> list[list[int]]:
    return [[1] * len(text.split()) for text in texts]


def run(
    rows: Iterable[Prompt],
    backend: CountingBackend,
    directory: Path | None = None,
    draws=RESET,
    window: int = 1024,
) -> pd.DataFrame:
    with Sidecar(directory) as sidecar:
        engine = Engine(sidecar, lambda: backend, encode)
        return pd.concat(generate(rows, draws, engine, window=window), ignore_index=True)


drawn_outputs = st.lists(st.sampled_from(["", "red", "green", "blue"]), max_size=20).map(
    lambda texts: [
        (Draw(n, "temperature", 0, 0.1, 0, n), Completion(text, n, "stop", 0.1, 0))
        for n, text in enumerate(texts)
    ]
)


@given(drawn_outputs, st.randoms())
def test_multiplicities_sum_to_the_draws_and_keep_the_first(drawn: list, random):
    shuffled = random.sample(drawn, len(drawn))
    rows = collapse(shuffled)
    assert sum(map(len, rows)) == len(drawn)
    assert len({same[0][1].output for same in rows}) == len(rows)
    for same in rows:
        output = same[0][1].output
        assert same == [pair for pair in drawn if pair[1].output == output]
    assert rows == collapse(drawn)


def test_a_row_keeps_the_setting_of_every_draw_it_stands_for():
    rows = run(prompts(8), CountingBackend())
    assert (rows["multiplicity"] > 1).any()
    for row in rows.itertuples():
        assert len(row.arms) == len(row.temperatures) == len(row.top_ks) == row.multiplicity
        assert (row.arm, row.temperature, row.top_k) == (
            row.arms[0], row.temperatures[0], row.top_ks[0]
        )  # fmt: skip
    kept = [
        (row.example_id, *setting)
        for row in rows.itertuples()
        for setting in zip(row.arms, row.temperatures, row.top_ks, strict=True)
    ]
    drawn = [
        (prompt.example_id, draw.arm, draw.temperature, draw.top_k)
        for prompt in prompts(8)
        for draw in RESET(prompt.example_id)
    ]
    assert sorted(kept) == sorted(drawn)


def test_a_withheld_answer_is_not_counted_with_empty_ones():
    reasons = ["stop", "content_filter", "length", "content_filter"]
    rows = collapse(
        (Draw(n, "temperature", 0, 0.1, 0, n), Completion("", 0, reason, 0.1, 0))
        for n, reason in enumerate(reasons)
    )
    assert [[draw.sample_id for draw, _ in same] for same in rows] == [[0, 2], [1, 3]]


def test_every_draw_is_accounted_for_and_stands_with_its_own_prompt():
    rows = run(prompts(), CountingBackend())
    assert rows["multiplicity"].sum() == 5 * 7
    assert rows.groupby("example_id")["multiplicity"].sum().eq(7).all()
    for row in rows.itertuples():
        assert row.output == f"{int(row.example_id[1:]) + 1} {row.sampling_seed % 3}"


def test_a_too_long_prompt_in_the_middle_shifts_no_other_row(caplog: pytest.LogCaptureFixture):
    """Open-instruct filtered such prompts from the engine's input and zipped the rest."""
    rows = prompts(5)
    long = Prompt("e002", "nq", rows[2].text, 0)
    mixed = run([*rows[:2], long, *rows[3:]], CountingBackend()).set_index("example_id")
    whole = run(rows, CountingBackend()).set_index("example_id")
    assert mixed.drop("e002").equals(whole.drop("e002"))
    empty = mixed.loc["e002"]
    assert (empty["output"], empty["n_tokens"]) == ("", 0)
    assert (empty["finish_reason"], empty["multiplicity"]) == ("prompt_too_long", 7)


def test_two_rows_with_the_same_prompt_keep_a_row_each():
    """OpenRLHF deduplicates by prompt text, so that one of two such rows is lost."""
    same = [Prompt("a", "nq", "same words", 8), Prompt("b", "nq", "same words", 8)]
    rows = run(same, CountingBackend())
    assert rows.groupby("example_id")["multiplicity"].sum().to_dict() == {"a": 7, "b": 7}
    seeds = rows.groupby("example_id")["sampling_seed"].agg(set)
    assert not seeds["a"] & seeds["b"]


def test_a_second_job_generates_only_what_is_new(tmp_path: Path):
    first, second = CountingBackend(), CountingBackend()
    run(prompts(3), first, tmp_path)
    run(prompts(5), second, tmp_path, partial(draws_of, GRID | {"rounds": 2}, 1))
    assert (first.outputs, second.outputs) == (21, 5 * 14 - 21)


def test_two_jobs_at_the_same_time_take_each_others_draws(tmp_path: Path):
    """Each knew only what stood there at its start, and both made all draws of the first round."""
    ours, theirs = CountingBackend(), CountingBackend()
    two_rounds = partial(draws_of, GRID | {"rounds": 2}, 1)
    with Sidecar(tmp_path) as sidecar:
        parts = generate(prompts(6), two_rounds, Engine(sidecar, lambda: ours, encode), window=2)
        first = next(parts)
        run(prompts(6), theirs, tmp_path)
        rows = pd.concat([first, *parts], ignore_index=True)
    assert (ours.outputs, theirs.outputs) == (6 * 14 - 4 * 7, 4 * 7)
    assert rows.equals(run(prompts(6), CountingBackend(), draws=two_rounds))


def test_a_job_whose_outputs_are_known_makes_no_backend(tmp_path: Path):
    expected = run(prompts(), CountingBackend(), tmp_path)

    def no_backend() -> CountingBackend:
        raise AssertionError("nothing is missing")

    with Sidecar(tmp_path) as sidecar:
        known, total = count_outputs(prompts(), RESET, sidecar)
        assert known == total > 0
        known, total = count_outputs(prompts(6), RESET, sidecar)
        assert 0 < known < total
        again = generate(prompts(), RESET, Engine(sidecar, no_backend, encode))
        assert pd.concat(again).reset_index(drop=True).equals(expected)


def test_a_killed_job_goes_on_where_it_stopped(tmp_path: Path):
    dying, resumed = CountingBackend(batches=2), CountingBackend()
    with pytest.raises(RuntimeError, match="killed"):
        run(prompts(), dying, tmp_path)
    rows = run(prompts(), resumed, tmp_path)
    assert (dying.outputs, resumed.outputs) == (28, 7)
    assert rows.equals(run(prompts(), CountingBackend()))


def test_equal_prompts_and_equal_settings_are_generated_once():
    backend = CountingBackend()
    literal = GRID | {"arm": "both", "top_k_temperature": "literal"}

    def draws(example_id: str) -> tuple[Draw, ...]:
        return draws_of(literal if example_id == "a" else {"kind": "greedy"}, 1, example_id)

    same = [Prompt("a", "nq", "same", 8), Prompt("b", "nq", "same", 8)]
    rows = run(same, backend, draws=draws)
    assert backend.outputs == 7 + 1
    assert rows[rows["example_id"] == "a"]["multiplicity"].sum() == 14
    assert rows[rows["example_id"] == "b"]["arm"].to_list() == ["greedy"]


@given(st.integers(0, 40), st.integers(1, 60))
def test_shares_are_lossless_for_every_number_of_rows_and_ranks(n_rows: int, ranks: int):
    """Open-instruct and Online-RLHF lose the remainder of n / ranks rows."""
    shares = [list(share_of(range(n_rows), rank, ranks)) for rank in range(ranks)]
    assert sorted(row for share in shares for row in share) == list(range(n_rows))
    sizes = [len(share) for share in shares]
    assert sizes == [share_size(n_rows, rank, ranks) for rank in range(ranks)]
    assert max(sizes) - min(sizes) <= 1


@given(st.integers(1, 12), st.integers(1, 20), st.integers(1, 12), st.randoms())
def test_rows_are_the_same_from_every_number_of_ranks_windows_and_orders(
    n_rows: int, ranks: int, window: int, random
):
    rows = prompts(n_rows)
    expected = run(rows, CountingBackend())
    shuffled = random.sample(rows, n_rows)
    parts = []
    for rank in range(ranks):
        share = list(share_of(shuffled, rank, ranks))
        if share:
            parts.append(run(share, CountingBackend(), window=window))
    together = pd.concat(parts).sort_values(["example_id", "sample_id"]).reset_index(drop=True)
    assert together.equals(expected)


def test_a_backend_is_handed_a_window_at_a_time():
    backend = CountingBackend()
    assert run(prompts(20), backend, window=6).equals(run(prompts(20), CountingBackend()))
    assert backend.largest == 6


def test_prompts_come_back_by_dataset_and_id(tmp_path: Path):
    written = [
        Prompt(f"{n:02d}", name, f"{name} {n}", n) for name in ("nq", "alpaca") for n in range(3)
    ]
    assert write_prompts(written, tmp_path) == (6, 2)
    assert list(read_prompts(tmp_path)) == [*written[3:], *written[:3]]
    assert count_prompts(tmp_path) == 6


def test_progress_says_how_far_how_fast_and_how_long(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO)
    rare, often = Progress(100, seconds_between=3600), Progress(100, seconds_between=0)
    for _ in range(50):
        rare.advance(1, 7, 10)
    assert not caplog.records
    often.skip(20)
    often.advance(30, 210, 500)
    assert "50 of 100 prompts (20 known before), generated 210 rows" in caplog.text
    for unit in ("rows/s", "tokens/s", "s left"):
        assert unit in caplog.text
    rare.finish()
    assert len(caplog.records) == 2
