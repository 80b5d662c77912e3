"""Draws to rows: nothing is lost, equal outputs are one row, known outputs are not made again."""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reset_tuning.journal import Sidecar
from reset_tuning.sampling.backend import Completed, Completion, Request
from reset_tuning.sampling.decodings import Draw, draws_of
from reset_tuning.sampling.outputs import Prompt, collapse, generate_rows
from reset_tuning.sampling.progress import Progress

GRID = {
    "kind": "grid",
    "max_new_tokens": 8,
    "temperatures": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7],
    "top_ks": [5, 10, 20, 50, 70, 90, 100],
}


class CountingBackend:
    """Answers with the seed's last digit, two requests a batch; may die after some batches."""

    def __init__(self, batches: int = 1000) -> None:
        self.batches = batches
        self.outputs = 0

    def generate(self, requests: Sequence[Request]) -> Iterator[list[Completed]]:
        for start in range(0, len(requests), 2):
            if start == 2 * self.batches:
                raise RuntimeError("killed")
            batch = range(start, min(start + 2, len(requests)))
            self.outputs += sum(len(requests[index].settings) for index in batch)
            yield [(index, self._complete(requests[index])) for index in reversed(batch)]

    def _complete(self, request: Request) -> tuple[Completion, ...]:
        return tuple(
            Completion(f"{len(request.prompt_ids)} {setting.seed % 3}", 2, "stop")
            for setting in request.settings
        )


def prompts(count: int = 5, spec: dict = GRID, limit: int = 8) -> list[Prompt]:
    return [
        Prompt(f"e{n}", "nq", f"prompt {n}", (1,) * (n + 1), draws_of(spec, 1, f"e{n}"), limit)
        for n in range(count)
    ]


drawn_outputs = st.lists(st.sampled_from(["", "red", "green", "blue"]), max_size=20).map(
    lambda texts: [
        (Draw(n, "temperature", 0, 0.1, 0, n), Completion(text, n, "stop"))
        for n, text in enumerate(texts)
    ]
)


@given(drawn_outputs, st.randoms())
def test_multiplicities_sum_to_the_draws_and_keep_the_first(drawn: list, random):
    shuffled = random.sample(drawn, len(drawn))
    rows = collapse(shuffled)
    assert sum(multiplicity for *_, multiplicity in rows) == len(drawn)
    assert len({completion.output for _, completion, _ in rows}) == len(rows)
    for draw, completion, multiplicity in rows:
        equal = [other for other, output in drawn if output.output == completion.output]
        assert draw == equal[0]
        assert multiplicity == len(equal)
    assert rows == collapse(drawn)


def test_every_draw_is_accounted_for(tmp_path: Path):
    with Sidecar(tmp_path) as sidecar:
        rows = generate_rows(prompts(), sidecar, CountingBackend)
    assert rows["multiplicity"].sum() == 5 * 7
    assert rows.groupby("example_id")["multiplicity"].sum().eq(7).all()
    for row in rows.itertuples():
        n = int(row.example_id[1:])
        assert row.output == f"{n + 1} {row.sampling_seed % 3}"


def test_a_second_job_generates_only_what_is_new(tmp_path: Path):
    first, second = CountingBackend(), CountingBackend()
    with Sidecar(tmp_path) as sidecar:
        generate_rows(prompts(3), sidecar, lambda: first)
    with Sidecar(tmp_path) as sidecar:
        generate_rows(prompts(5, GRID | {"rounds": 2}), sidecar, lambda: second)
    assert (first.outputs, second.outputs) == (21, 5 * 14 - 21)


def test_a_job_whose_outputs_are_known_makes_no_backend(tmp_path: Path):
    with Sidecar(tmp_path) as sidecar:
        expected = generate_rows(prompts(), sidecar, CountingBackend)

    def no_backend() -> CountingBackend:
        raise AssertionError("nothing is missing")

    with Sidecar(tmp_path) as sidecar:
        assert generate_rows(prompts(), sidecar, no_backend).equals(expected)


def test_a_killed_job_goes_on_where_it_stopped(tmp_path: Path):
    dying, resumed = CountingBackend(batches=2), CountingBackend()
    with pytest.raises(RuntimeError, match="killed"), Sidecar(tmp_path) as sidecar:
        generate_rows(prompts(), sidecar, lambda: dying)
    with Sidecar(tmp_path) as sidecar:
        rows = generate_rows(prompts(), sidecar, lambda: resumed)
    assert (dying.outputs, resumed.outputs) == (28, 7)
    with Sidecar(tmp_path / "other") as sidecar:
        assert rows.equals(generate_rows(prompts(), sidecar, CountingBackend))


def test_equal_prompts_and_equal_settings_are_generated_once(tmp_path: Path):
    backend = CountingBackend()
    literal = GRID | {"arm": "both", "top_k_temperature": 0.0}
    one = Prompt("a", "nq", "same", (1, 2), draws_of(literal, 1, "a"), 8)
    other = Prompt("b", "nq", "same", (1, 2), draws_of({"kind": "greedy"}, 1, "b"), 8)
    with Sidecar(tmp_path) as sidecar:
        rows = generate_rows([one, other], sidecar, lambda: backend)
    assert backend.outputs == 7 + 1
    assert rows[rows["example_id"] == "a"]["multiplicity"].sum() == 14
    assert rows[rows["example_id"] == "b"]["arm"].to_list() == ["greedy"]


def test_a_prompt_without_room_is_an_empty_row(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    full = prompts(1, limit=0)
    with Sidecar(tmp_path) as sidecar:
        rows = generate_rows([*full, *prompts(3)[1:]], sidecar, CountingBackend)
    (row,) = rows[rows["example_id"] == "e0"].to_dict("records")
    assert (row["output"], row["n_tokens"], row["finish_reason"]) == ("", 0, "length")
    assert row["multiplicity"] == 7
    assert "1 of 3 prompts leave no room" in caplog.text


def test_progress_is_logged_at_a_bounded_frequency(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO)
    rare, often = Progress(100, seconds_between=3600), Progress(100, seconds_between=0)
    for _ in range(50):
        rare.advance(1, 10)
    assert not caplog.records
    often.advance(50, 500)
    assert "generated 50 of 100 outputs (50 %)" in caplog.text
    rare.finish()
    assert len(caplog.records) == 2
