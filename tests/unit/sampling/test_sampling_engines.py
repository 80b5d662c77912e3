"""The other backends: vLLM through a fake of its API, and a server through real HTTP."""

import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from engines import CompletionsServer, fake_vllm, serving
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from reset_tuning.errors import InputError
from reset_tuning.journal import Sidecar
from reset_tuning.judging.client import Limits
from reset_tuning.judging.server import Endpoint
from reset_tuning.sampling.backend import Backend, Completion, Request, Setting
from reset_tuning.sampling.decodings import Draw
from reset_tuning.sampling.endpoint_backend import EndpointBackend, endpoint_backend
from reset_tuning.sampling.engines import Means, endpoint_model, loaded_backend
from reset_tuning.sampling.generation import generation_job
from reset_tuning.sampling.outputs import Engine, generate
from reset_tuning.sampling.prompts import Prompt
from reset_tuning.sampling.texts import encode
from reset_tuning.sampling.transformers_backend import TransformersBackend
from reset_tuning.sampling.vllm_backend import VllmBackend

QUICK = Limits(concurrency=4, attempts=3, first_pause_seconds=0.01)


def run(backend: Backend, requests: Sequence[Request]) -> list[tuple[Completion, ...]]:
    done = dict(pair for batch in backend.generate(requests) for pair in batch)
    assert sorted(done) == list(range(len(requests)))
    return [done[index] for index in range(len(requests))]


@pytest.fixture
def transformers_backend(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast
) -> TransformersBackend:
    return TransformersBackend(model, tokenizer, batch_tokens=4096)


@pytest.fixture
def some(requests: list[Request]) -> list[Request]:
    return requests[:4]


# ---------------------------------------------------------------- vLLM


@pytest.fixture
def load_vllm(
    monkeypatch: pytest.MonkeyPatch,
    transformers_backend: TransformersBackend,
    checkpoint: Path,
    tokenizer: PreTrainedTokenizerFast,
) -> Callable[..., tuple[VllmBackend, list[Any]]]:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7")

    def load(device: int = 0, **faults: Any) -> tuple[VllmBackend, list[Any]]:
        calls: list[Any] = []
        module = fake_vllm(transformers_backend, calls, **faults)
        monkeypatch.setitem(sys.modules, "vllm", module)
        backend = VllmBackend.load(
            str(checkpoint), tokenizer, dtype="float32", max_length=100, batch_tokens=1,
            gpu_memory=0.5, device=device,
        )  # fmt: skip
        return backend, calls

    return load


def test_vllm_gives_the_same_table(
    load_vllm: Callable, transformers_backend: TransformersBackend, some: list[Request]
):
    backend, _ = load_vllm()
    assert any(s.top_k > transformers_backend._model.config.vocab_size for s in some[0].settings)
    assert run(backend, some) == run(transformers_backend, some)


def test_vllm_gets_every_parameter_and_shares_prefixes(load_vllm: Callable, some: list[Request]):
    """Open-instruct ignored top_p and passed no seed."""
    backend, calls = load_vllm()
    run(backend, some)
    engine, asked = calls[0], [pair for call in calls[1:] for pair in call]
    assert engine["enable_prefix_caching"] and engine["max_model_len"] == 100
    assert engine["generation_config"] == "vllm"
    settings = [(r, s) for r in sorted(some, key=lambda r: -len(r.prompt_ids)) for s in r.settings]
    assert len(asked) == len(settings)
    for (prompt, params), (request, setting) in zip(asked, settings, strict=True):
        assert tuple(prompt["prompt_token_ids"]) == request.prompt_ids
        assert (params.temperature, params.top_k) == (setting.temperature, setting.top_k)
        assert params.seed == (setting.seed if setting.temperature else None)
        assert (params.top_p, params.n, params.max_tokens) == (1.0, 1, request.max_new_tokens)


def test_what_vllm_makes_of_a_parameter_is_what_is_recorded(load_vllm: Callable):
    backend, _ = load_vllm()
    ((completion,),) = run(backend, [Request((2, 5), (Setting(0.001, 0, 1),), 4)])
    assert completion.temperature == 0.01


def test_vllm_takes_batch_after_batch_so_that_finished_work_is_kept(
    load_vllm: Callable, some: list[Request]
):
    backend, calls = load_vllm()
    batches = list(backend.generate(some))
    assert len(batches) == len(calls) - 1 > 1


def test_a_vllm_that_answers_out_of_order_is_noticed(load_vllm: Callable, some: list[Request]):
    backend, _ = load_vllm(shifted=True)
    with pytest.raises(InputError, match="another prompt"):
        run(backend, some)


def test_a_vllm_rank_takes_one_of_the_jobs_gpus(
    load_vllm: Callable, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("WORLD_SIZE", "2")
    load_vllm(device=1)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "7"
    assert "WORLD_SIZE" not in os.environ


def test_a_model_that_vllm_refuses_and_a_missing_vllm_are_told(
    load_vllm: Callable,
    monkeypatch: pytest.MonkeyPatch,
    checkpoint: Path,
    tokenizer: PreTrainedTokenizerFast,
):
    with pytest.raises(InputError, match="vLLM cannot load the model .* no such architecture"):
        load_vllm(load="no such architecture")
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(InputError, match="not installed here .* envs/vllm.yaml"):
        VllmBackend.load(
            str(checkpoint), tokenizer, dtype="float32", max_length=9, batch_tokens=1, gpu_memory=1
        )


# ---------------------------------------------------------------- endpoint


@pytest.fixture
def server(transformers_backend: TransformersBackend) -> CompletionsServer:
    return CompletionsServer(transformers_backend, ["mtl-seed-1-best"])


@pytest.fixture
def base_url(server: CompletionsServer) -> Iterator[str]:
    with serving(server) as url:
        yield url


@pytest.fixture
def asked(base_url: str, tokenizer: PreTrainedTokenizerFast) -> EndpointBackend:
    return EndpointBackend(Endpoint(base_url, "none"), "mtl-seed-1-best", tokenizer, QUICK)


def texts(outputs: list[tuple[Completion, ...]]) -> list[list[tuple[str, str]]]:
    return [[(c.output, c.finish_reason) for c in completions] for completions in outputs]


@pytest.mark.parametrize("prompt_as", ["tokens", "text"])
def test_a_server_gives_the_same_table(
    prompt_as: str,
    base_url: str,
    transformers_backend: TransformersBackend,
    tokenizer: PreTrainedTokenizerFast,
    some: list[Request],
):
    some = [
        Request(r.prompt_ids, r.settings, r.max_new_tokens, tokenizer.decode(r.prompt_ids[1:]))
        for r in some
    ]
    settings = {"kind": "endpoint", "base_url": base_url, "prompt_as": prompt_as}
    means = Means(batch_tokens=1)
    with endpoint_backend(settings, "unused", "mtl-seed-1-best", tokenizer, means) as backend:
        outputs = run(backend, some)
    assert texts(outputs) == texts(run(transformers_backend, some))
    for completions, request in zip(outputs, some, strict=True):
        for completion, setting in zip(completions, request.settings, strict=True):
            assert completion.temperature == setting.temperature
            assert completion.n_tokens <= request.max_new_tokens


def test_every_parameter_is_sent(
    server: CompletionsServer, asked: EndpointBackend, some: list[Request]
):
    run(asked, some[:1])
    sent = [body for body in server.bodies if body["max_tokens"] == 24]
    assert len(sent) == len(some[0].settings)
    for body, setting in zip(
        sorted(sent, key=lambda body: body.get("seed", -1)), some[0].settings, strict=True
    ):
        assert (body["temperature"], body["top_p"], body["n"]) == (setting.temperature, 1.0, 1)
        assert tuple(body["prompt"]) == some[0].prompt_ids
        if setting.temperature > 0:
            # Top-k 0 goes out too: servers that are not told take a default of their own.
            assert (body["top_k"], body["seed"]) == (setting.top_k, setting.seed)


@pytest.mark.parametrize("ignored", ["top_k", "temperature"])
def test_a_server_that_ignores_a_parameter_is_refused(
    ignored: str, server: CompletionsServer, asked: EndpointBackend, some: list[Request]
):
    server.ignored = (ignored,)
    with pytest.raises(InputError, match=f"ignores (the )?{ignored}"):
        run(asked, some)


def test_a_server_that_draws_anew_is_used_with_a_warning(
    server: CompletionsServer,
    asked: EndpointBackend,
    some: list[Request],
    caplog: pytest.LogCaptureFixture,
):
    server.ignored = ("seed",)
    honest = server.complete

    def anew(body: dict[str, Any]) -> dict[str, Any]:
        server.ignored = ()
        return honest(body | {"seed": len(server.bodies)})

    server.complete = anew
    run(asked, some[:1])
    assert "does not repeat a seed" in caplog.text


def test_greedy_answers_need_no_trial(
    server: CompletionsServer, asked: EndpointBackend, some: list[Request]
):
    run(asked, [Request(r.prompt_ids, (Setting(0.0, 0, 0),), 8) for r in some])
    assert len(server.bodies) == len(some)
    assert not any("top_k" in body or "seed" in body for body in server.bodies)


def test_passing_failures_are_retried_and_lasting_ones_keep_what_came(
    server: CompletionsServer,
    base_url: str,
    tokenizer: PreTrainedTokenizerFast,
    some: list[Request],
):
    one_by_one = Limits(concurrency=1, attempts=3, first_pause_seconds=0.01)
    backend = EndpointBackend(Endpoint(base_url, "none"), "m", tokenizer, one_by_one)
    greedy = [Request(r.prompt_ids, (Setting(0.0, 0, 0),), 8) for r in some]
    server.statuses = [500, 429]
    assert len(run(backend, greedy)) == 4
    server.statuses = [200, 400]
    kept = []
    with pytest.raises(InputError, match="1 of 4 requests .* every output that came is kept"):
        for batch in backend.generate(greedy):
            kept += batch
    assert [index for index, _ in kept] == [0, 2, 3]


@pytest.mark.parametrize("status", [200, 400])
def test_an_answer_that_a_filter_withholds_is_no_empty_answer(
    status: int,
    server: CompletionsServer,
    asked: EndpointBackend,
    transformers_backend: TransformersBackend,
    some: list[Request],
):
    """Status 400 became an empty output that ended by nothing declared; 200 stopped the job."""
    banned = Request((2, 5, 5, 5), some[0].settings, 8)  # the first one, on which it is tried
    server.refusal, server.banned = status, list(banned.prompt_ids)
    withheld, *others = run(asked, [banned, *some])
    assert {(c.output, c.n_tokens, c.finish_reason) for c in withheld} == {
        ("", 0, "content_filter")
    }
    assert texts(others) == texts(run(transformers_backend, some))


def test_the_other_draws_of_an_example_are_kept_when_one_fails(
    server: CompletionsServer,
    base_url: str,
    tokenizer: PreTrainedTokenizerFast,
    tmp_path: Path,
):
    def all_rows() -> pd.DataFrame:
        with Sidecar(tmp_path) as sidecar:
            engine = Engine(sidecar, lambda: backend, partial(encode, tokenizer))
            prompt = Prompt("a", "nq", "Name a colour", 6)
            return pd.concat(generate([prompt], lambda _: draws, engine))

    draws = [Draw(n, "temperature", 0, 0.9, 0, n) for n in range(3)]
    one_by_one = Limits(concurrency=1, attempts=1)
    backend = EndpointBackend(Endpoint(base_url, "none"), "m", tokenizer, one_by_one)
    n_trials = 7
    server.statuses = [200] * n_trials + [200, 400, 200]
    with pytest.raises(InputError, match="1 of 3 requests"):
        all_rows()
    assert all_rows()["multiplicity"].sum() == 3
    assert len(server.bodies) == n_trials + 3 + 1


def test_a_server_that_answers_as_another_model_is_refused(
    server: CompletionsServer, asked: EndpointBackend, some: list[Request]
):
    honest = server.complete
    server.complete = lambda body: honest(body) | {"model": "llama-cd-seed-1-last"}
    greedy = [Request(some[0].prompt_ids, (Setting(0.0, 0, 0),), 8)]
    with pytest.raises(InputError, match="answered as llama-cd-seed-1-last, not mtl-seed-1-best"):
        run(asked, greedy)
    assert len(server.bodies) == 1
    server.complete = lambda body: {**honest(body), "model": None}  # a server that names none
    run(asked, greedy)


def test_a_server_of_other_models_is_refused(base_url: str, tokenizer: PreTrainedTokenizerFast):
    settings, means = {"kind": "endpoint", "base_url": base_url}, Means(batch_tokens=1)
    with (
        pytest.raises(InputError, match="serves mtl-seed-1-best, not mtl-seed-2-best"),
        endpoint_backend(settings, "unused", "mtl-seed-2-best", tokenizer, means),
    ):
        pass


def test_a_missing_key_or_server_is_told(
    monkeypatch: pytest.MonkeyPatch, tokenizer: PreTrainedTokenizerFast
):
    settings = {"kind": "endpoint", "base_url": "http://127.0.0.1:9/v1"}
    monkeypatch.delenv("MY_KEY", raising=False)
    means = Means(batch_tokens=1, api_key_variable="MY_KEY")
    with (
        pytest.raises(InputError, match="MY_KEY"),
        endpoint_backend(settings, "unused", "m", tokenizer, means),
    ):
        pass
    with (
        pytest.raises(InputError, match="does not list its models"),
        endpoint_backend(settings, "unused", "m", tokenizer, Means(batch_tokens=1)),
    ):
        pass


def test_a_server_of_the_jobs_own_is_started_and_stopped(
    tmp_path: Path, checkpoint: Path, tokenizer: PreTrainedTokenizerFast
):
    script = tmp_path / "serve.py"
    here = Path(__file__).parent
    script.write_text(
        f"import sys; sys.path[:0] = [{str(here)!r}, {str(here.parents[2] / 'scripts')!r}]\n"
        "from http.server import ThreadingHTTPServer\n"
        "from transformers import AutoTokenizer\n"
        "from engines import CompletionsServer, _handler\n"
        "from reset_tuning.sampling.transformers_backend import TransformersBackend\n"
        "path, port = sys.argv[1], int(sys.argv[2])\n"
        "backend = TransformersBackend.load(path, AutoTokenizer.from_pretrained(path),\n"
        "    dtype='float32', attention='sdpa', batch_tokens=4096)\n"
        "handler = _handler(CompletionsServer(backend, [path]))\n"
        "ThreadingHTTPServer(('127.0.0.1', port), handler).serve_forever()\n"
    )
    command = f"{{python}} {script} {{model}} {{port}}"
    settings = {"kind": "endpoint", "command": command}
    means = Means(batch_tokens=1, ready_minutes=2)
    path = str(checkpoint)
    with endpoint_backend(settings, path, path, tokenizer, means) as backend:
        outputs = run(backend, [Request((2, 5, 6), (Setting(0.0, 0, 0),), 8)])
    own = TransformersBackend.load(
        path, tokenizer, dtype="float32", attention="sdpa", batch_tokens=1
    )
    assert texts(outputs) == texts(run(own, [Request((2, 5, 6), (Setting(0.0, 0, 0),), 8)]))


def test_no_two_checkpoints_share_a_name_at_a_server(tmp_path: Path):
    common = {
        "decoding": "greedy", "spec": {}, "model_path": "a/b", "dtype": "float32",
        "attention": "sdpa", "max_length": 9, "sidecar": tmp_path, "means": Means(batch_tokens=1),
    }  # fmt: skip
    backend = {"kind": "endpoint", "base_url": "http://x"}
    names = {
        endpoint_model(
            generation_job(run=run, seed=seed, checkpoint=checkpoint, backend=backend, **common)
        )
        for run in ("mtl", "llama-cd")
        for seed in (1, 2)
        for checkpoint in ("best", "last")
    }
    assert len(names) == 8 and "mtl-seed-1-best" in names
    own = generation_job(
        run="mtl", seed=1, checkpoint="best",
        backend={"kind": "endpoint", "command": "serve"}, **common
    )  # fmt: skip
    assert endpoint_model(own) == "a/b"


def test_an_unknown_backend_is_named(
    tmp_path: Path, tokenizer: PreTrainedTokenizerFast, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO)
    job = generation_job(
        run="mtl", seed=1, checkpoint="best", decoding="greedy", spec={}, model_path="a/b",
        dtype="float32", attention="sdpa", max_length=9, sidecar=tmp_path,
        means=Means(batch_tokens=1), backend={"kind": "magic"},
    )  # fmt: skip
    with (
        pytest.raises(InputError, match="allowed: transformers, vllm, endpoint"),
        loaded_backend(job, tokenizer, 0),
    ):
        pass
