"""Rows, tokens and draws of the paper, by hand."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from helpers import in_parts
from reset_tuning.errors import InputError
from reset_tuning.planning.expectations import ASSUMED, MEASURED, Expectations, Rows, together
from reset_tuning.planning.models import ModelSizes, model_size, named_size, parameters_of
from reset_tuning.planning.work import ENTAILED_KINDS, Workload


def test_groups_of_rows_are_one_with_the_weakest_ground() -> None:
    both = together([Rows(10, 100, 5, MEASURED), Rows(30, 20, 9, ASSUMED)])
    assert both == Rows(40, 40, 8, ASSUMED)
    assert both.tokens == 40 * 48


def test_a_mixture_brings_every_set_to_the_largest(expectations: Expectations) -> None:
    sets = expectations.sets("all")
    assert set(sets) == {"instruction", "nq", "ms_marco", "cnn_dailymail"}
    largest = max(rows.count for rows in sets.values())
    assert expectations.mixture("all").count == pytest.approx(4 * largest)
    assert 1.0e6 < expectations.mixture("all").count < 1.16e6  # four times 287 thousand


def test_the_mixture_of_the_paper_has_about_as_many_tokens_as_peers_infer(
    workload: Workload,
) -> None:
    tokens = workload.of("train", {"run": "mtl", "seed": "1"}).tokens
    assert 0.6e9 < tokens < 1.3e9


def test_reset_trains_on_eight_thousand_rows(
    expectations: Expectations, workload: Workload
) -> None:
    assert expectations.training("mtl-reset", 1).count == 8000
    assert expectations.training("mtl-reset-s", 1).count == 2000
    assert workload.steps("mtl-reset", 1) == 250
    assert workload.steps("mtl-reset-s", 1) == 62.5


def test_seven_draws_an_example_and_fourteen_for_reset_s(workload: Workload) -> None:
    assert workload.draws("greedy") == 1
    assert workload.draws("reset") == 7
    assert workload.draws("reset-s") == 14


@pytest.mark.parametrize(
    ("top_ks", "arm", "draws"), [([], "random", 7), ([5], "random", 4), ([5], "both", 8)]
)
def test_a_draw_of_an_arm_counts_in_the_mean(
    config: dict, workload: Workload, top_ks: list[int], arm: str, draws: int
) -> None:
    config["decodings"]["reset"] |= {"top_ks": top_ks, "arm": arm}
    assert workload.draws("reset") == draws


def test_reset_s_draws_only_what_reset_has_not_drawn(workload: Workload) -> None:
    """The first of its two rounds are the draws of the larger pool."""
    assert workload._new_draws("mtl", "reset", 2200) == 2200 * 7
    assert workload._new_draws("mtl", "reset-s", 550) == 550 * 7


def test_other_settings_share_no_draws(config: dict, workload: Workload) -> None:
    config["decodings"]["reset-s"]["top_k_temperature"] = 0.7
    assert workload._new_draws("mtl", "reset-s", 550) == 550 * 14


def test_the_last_weights_of_one_epoch_are_taken_for_the_best(workload: Workload) -> None:
    best = {"run": "llama-cd", "seed": "1", "checkpoint": "best"}
    assert workload.of("generate_outputs", best).tokens > 0
    assert workload.of("generate_outputs", best | {"checkpoint": "last"}).tokens == 0
    several = {"run": "llama-cd-3epochs", "seed": "1", "checkpoint": "last"}
    assert workload.of("generate_outputs", several).tokens > 0


def test_the_judge_rates_the_answers_to_instructions_alone(workload: Workload) -> None:
    evaluation = {"run": "mtl", "seed": "1", "checkpoint": "best", "judge": "gpt-4"}
    assert workload.of("query_judge", evaluation).amounts["judge"] == 280  # 100 + 80 + 100
    pool = {"run": "mtl", "seed": "1", "decoding": "reset", "judge": "gpt-4"}
    requests = workload.of("query_pool_judge", pool).amounts["judge"]
    assert 0.5 * 2200 * 7 < requests <= 2200 * 7


def test_the_entailed_kinds_are_those_of_the_scorers() -> None:
    from reset_tuning.scoring import classifier, summac

    assert ENTAILED_KINDS == summac.KINDS == classifier.KINDS


# ---------------------------------------------------------------- real files


def mixture_file(path: Path) -> None:
    rows = pd.DataFrame(
        {
            "set": ["a", "a", "b", "b"],
            "copy": [0, 0, 0, 1],
            "n_prompt_tokens": [10, 30, 50, 50],
            "n_response_tokens": [1, 3, 5, 5],
        }
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pandas(rows), path)


def test_a_mixture_that_is_there_is_counted(expectations: Expectations) -> None:
    mixture_file(expectations.results / "mixtures" / "all" / "train.parquet")
    assert expectations.sets("all") == {
        "a": Rows(2, 20, 2, MEASURED),
        "b": Rows(1, 50, 5, MEASURED),
    }
    assert expectations.mixture("all") == Rows(4, 35, 3.5, MEASURED)


def test_a_file_that_is_made_again_counts_as_absent(
    config: dict, sources: dict, tmp_path: Path
) -> None:
    from reset_tuning.experiment import Experiment

    path = tmp_path / "mixtures" / "all" / "train.parquet"
    mixture_file(path)
    expected = Expectations(Experiment(config), tmp_path, sources, [str(path)])
    assert expected.mixture("all").count > 1e6


def outputs_file(path: Path, outputs: dict[str, int], dataset: str, n_tokens: int) -> None:
    """Write outputs of one example each, with the draws that they stand for."""
    rows = pd.DataFrame(
        {
            "dataset": dataset,
            "example_id": [f"{dataset}:{place}" for place in range(len(outputs))],
            "output": list(outputs),
            "n_tokens": n_tokens,
            "multiplicity": list(outputs.values()),
        }
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pandas(rows), path)


def test_outputs_that_are_there_tell_of_those_to_come(expectations: Expectations) -> None:
    outputs = expectations.results / "generations" / "mtl"
    outputs_file(outputs / "seed-1" / "best.parquet", {"a": 1, "b": 1}, "koala_eval", 9)
    outputs_file(outputs / "seed-1" / "last.parquet", {"a": 1, "b": 1}, "koala_eval", 9)
    outputs_file(outputs / "seed-2" / "best.parquet", {"a": 1, "c": 1}, "koala_eval", 19)
    assert expectations.evaluated()["koala_eval"].response == 15  # with the end token
    assert expectations.new_share == 0.75  # three of four, the last weights aside


def test_samples_that_are_there_tell_of_those_to_come(expectations: Expectations) -> None:
    samples = expectations.results / "samples" / "mtl" / "seed-1" / "reset.parquet"
    outputs_file(samples, {"yes": 6, "no": 1}, "nq", 2)
    assert expectations.sampled("mtl", "reset")["nq"].response == 3
    assert expectations.distinct_share == pytest.approx(2 / 7)


def test_nothing_written_leaves_what_is_assumed(expectations: Expectations) -> None:
    assert expectations.new_share == expectations.judging["new_share"]
    assert expectations.distinct_share == expectations.judging["distinct_share"]


# ---------------------------------------------------------------- models


def test_sizes_of_models_from_files_tables_and_names(config: dict) -> None:
    sizes = ModelSizes(config["models"] | {"tiny": {"hub": "someone/model-70b-chat"}}, {"x": 1.0})
    assert sizes.parameters("llama-7b") == 7e9
    assert sizes.parameters("tiny") == 70e9
    assert sizes.weight_bytes("llama-7b") == 14e9
    assert named_size("TinyLlama/TinyLlama-1.1B-Chat-v1.0") == pytest.approx(1.1e9)
    assert named_size("HuggingFaceTB/SmolLM2-360M") == 360e6
    assert named_size("mistralai/Mixtral-8x7B-v0.1") == 56e9  # all experts, at most
    assert named_size("gpt2") is None
    assert 5e5 < parameters_of(Path("resources/mini/base/model.safetensors")) < 1e6


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 13476835328\n"
A_PART = "model-00002-of-00002.safetensors"


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda whole: POINTER, "only names its content .a Git-LFS pointer.: run `git lfs pull`"),
        (lambda whole: b"", "is empty: download it anew"),
        (lambda whole: whole[: len(whole) // 2], "is broken .* download it anew"),
        (lambda whole: whole[:100], "is broken"),
        (lambda whole: whole[:-1], "is broken"),
        (lambda whole: whole + b"x", "is broken"),
        (lambda whole: b"<!DOCTYPE html><html>not found</html>", "is broken"),
        (lambda whole: b"\2\0\0\0\0\0\0\0[]", "is broken"),
    ],
)
def test_a_broken_file_of_weights_is_one_sentence_that_names_it(
    tmp_path: Path, spoil: Callable[[bytes], bytes], words: str
) -> None:
    parts = in_parts(Path("resources/mini/base"), tmp_path / "parts")
    (parts / A_PART).write_bytes(spoil((parts / A_PART).read_bytes()))
    with pytest.raises(InputError, match=f"parts/{A_PART} {words}") as error:
        model_size(str(parts))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [POINTER, b"", b"PK\3\4 half of an archive"])
def test_a_broken_file_of_the_old_format_is_one_sentence_too(
    tmp_path: Path, content: bytes
) -> None:
    weights = tmp_path / "pytorch_model.bin"
    weights.write_bytes(content)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(InputError, match="pytorch_model.bin is|pytorch_model.bin only names"):
        model_size(str(tmp_path))


def test_a_broken_configuration_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(bytes(4000))
    for content in ('{"dtype":', "[]"):
        (tmp_path / "config.json").write_text(content)
        with pytest.raises(InputError, match="config.json cannot be read"):
            model_size(str(tmp_path))


def test_the_size_of_weights_in_parts_and_of_the_old_format(config: dict, tmp_path: Path) -> None:
    base = Path("resources/mini/base")
    whole = parameters_of(base / "model.safetensors")
    parts, old = in_parts(base, tmp_path / "parts"), tmp_path / "old"
    shutil.copytree(base, old, ignore=shutil.ignore_patterns("*.safetensors"))
    (old / "pytorch_model-00001-of-00001.bin").write_bytes(bytes(4000))
    models = {name: {"path": str(path)} for name, path in (("parts", parts), ("old", old))}
    sizes = ModelSizes(models, {})
    assert sizes.parameters("parts") == model_size(str(parts)) == whole
    assert sizes.parameters("old") == 2000  # of bfloat16, says its configuration
