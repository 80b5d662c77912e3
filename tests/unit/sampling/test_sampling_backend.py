"""Generation with transformers: the same outputs as its own and as one draw at a time."""

import random
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_model import tiny_llama
from transformers import (
    AutoModelForCausalLM,
    BloomConfig,
    DeepseekV3Config,
    FalconConfig,
    Gemma2Config,
    GPTNeoConfig,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2Config,
    StableLmConfig,
)

from reset_tuning.errors import InputError
from reset_tuning.sampling.backend import Completion, Request, Setting
from reset_tuning.sampling.choice import next_tokens, uniform_numbers
from reset_tuning.sampling.transformers_backend import TransformersBackend, _Decoding

GREEDY = (Setting(0.0, 0, 0),)


def run(backend: TransformersBackend, requests: Sequence[Request]) -> list[tuple[Completion, ...]]:
    done = dict(pair for batch in backend.generate(requests) for pair in batch)
    assert sorted(done) == list(range(len(requests)))
    return [done[index] for index in range(len(requests))]


@pytest.fixture
def backend(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast) -> TransformersBackend:
    return TransformersBackend(model, tokenizer, batch_tokens=4096)


@pytest.mark.parametrize("n_key_value_heads", [4, 2])
def test_greedy_equals_transformers_generate(
    n_key_value_heads: int, tokenizer: PreTrainedTokenizerFast, requests: list[Request]
):
    model = tiny_llama(tokenizer, num_key_value_heads=n_key_value_heads)
    outputs = run(
        TransformersBackend(model, tokenizer, 4096), [replace(r, settings=GREEDY) for r in requests]
    )
    for request, (output,) in zip(requests, outputs, strict=True):
        prompt = torch.tensor([request.prompt_ids])
        ids = model.generate(prompt, do_sample=False, max_new_tokens=24)[0, prompt.shape[1] :]
        assert output.output == tokenizer.decode(ids, skip_special_tokens=True).strip()
        ended = tokenizer.eos_token_id in ids
        assert output.n_tokens == len(ids) - ended
        assert output.finish_reason == ("stop" if ended else "length")


def test_every_draw_equals_the_draw_made_alone_without_a_cache(
    backend: TransformersBackend, model: LlamaForCausalLM, requests: list[Request]
):
    requests = requests[:6]
    outputs = run(backend, requests)
    for request, completions in zip(requests, outputs, strict=True):
        for setting, completion in zip(request.settings, completions, strict=True):
            assert completion == draw_alone(backend, model, request, setting)
    reasons = {completion.finish_reason for row in outputs for completion in row}
    assert reasons == {"stop", "length"}
    assert len({completion.output for row in outputs for completion in row}) > len(outputs)


@torch.inference_mode()
def draw_alone(
    backend: TransformersBackend, model: LlamaForCausalLM, request: Request, setting: Setting
) -> Completion:
    ids, written, ended = list(request.prompt_ids), [], False
    uniform = uniform_numbers(setting.seed, request.max_new_tokens)
    while len(written) < request.max_new_tokens and not ended:
        logits = model(torch.tensor([ids])).logits[:, -1]
        temperature = torch.tensor([setting.temperature])
        top_k = torch.tensor([setting.top_k])
        token = int(next_tokens(logits, temperature, top_k, uniform[len(written)][None]))
        ended = token == model.config.eos_token_id
        if not ended:
            ids.append(token)
            written.append(token)
    used = min(setting.top_k, model.config.vocab_size) if setting.temperature > 0 else 0
    return backend._completion(written, ended, setting.temperature, used)


@pytest.mark.parametrize("batch_tokens", [1, 40, 90, 4096])
def test_outputs_do_not_depend_on_order_or_batch(
    batch_tokens: int,
    backend: TransformersBackend,
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    requests: list[Request],
):
    expected = run(backend, requests)
    order = random.Random(batch_tokens).sample(range(len(requests)), len(requests))
    other = TransformersBackend(model, tokenizer, batch_tokens)
    outputs = run(other, [requests[index] for index in order])
    assert outputs == [expected[index] for index in order]


def test_a_draw_does_not_depend_on_the_other_draws_or_on_the_limit(
    backend: TransformersBackend, requests: list[Request]
):
    expected = run(backend, requests)
    fewer = [
        replace(request, settings=request.settings[index % 5 : index % 5 + 1 + index % 3])
        for index, request in enumerate(requests)
    ]
    outputs = run(backend, fewer)
    for index, completions in enumerate(outputs):
        assert completions == expected[index][index % 5 : index % 5 + 1 + index % 3]
    for longer, shorter in zip(
        expected, run(backend, [replace(r, max_new_tokens=5) for r in requests]), strict=True
    ):
        for whole, part in zip(longer, shorter, strict=True):
            assert whole.output.startswith(part.output)
            assert part.n_tokens == min(5, whole.n_tokens)


def test_requests_of_one_batch_have_their_own_limits(
    backend: TransformersBackend, requests: list[Request]
):
    limits = [1 + index for index in range(len(requests))]
    limited = [
        replace(request, max_new_tokens=limit)
        for request, limit in zip(requests, limits, strict=True)
    ]
    for limit, completions in zip(limits, run(backend, limited), strict=True):
        for completion in completions:
            assert completion.n_tokens <= limit
            assert (completion.finish_reason == "length") == (completion.n_tokens == limit)


def test_eager_attention_writes_the_same(
    checkpoint: Path, tokenizer: PreTrainedTokenizerFast, requests: list[Request]
):
    outputs = [
        run(
            TransformersBackend.load(
                str(checkpoint), tokenizer, dtype="float32", attention=name, batch_tokens=4096
            ),
            requests,
        )
        for name in ("sdpa", "eager", "flash_attention_2")
    ]
    assert outputs[0] == outputs[1] == outputs[2]


def test_the_parameters_are_read_back_from_the_engine(
    backend: TransformersBackend, requests: list[Request], caplog: pytest.LogCaptureFixture
):
    for request, completions in zip(requests, run(backend, requests), strict=True):
        for setting, completion in zip(request.settings, completions, strict=True):
            assert completion.temperature == setting.temperature
            # The vocabulary has 34 words: top-k 100 is all of them, and that is what is recorded.
            assert completion.top_k == min(setting.top_k, backend._model.config.vocab_size)
    assert "top-k 100 is above the vocabulary" in caplog.text


def test_finished_draws_leave_the_batch(
    backend: TransformersBackend, requests: list[Request], monkeypatch: pytest.MonkeyPatch
):
    places = []
    whole = _Decoding._read_tokens

    def recorded(decoding: _Decoding, state: Any) -> Any:
        places.append(state.slots.numel())
        return whole(decoding, state)

    monkeypatch.setattr(_Decoding, "_read_tokens", recorded)
    run(backend, [replace(r, max_new_tokens=2 * n + 1) for n, r in enumerate(requests)])
    # Twelve rows of seven; without leaving there would be 84 places to the end.
    assert places[0] == 84 and places[-1] <= 2 * 7
    assert sum(places) < 0.7 * 84 * len(places)


def test_a_checkpoint_without_a_generation_config_ends_by_its_config(
    tmp_path: Path, checkpoint: Path, tokenizer: PreTrainedTokenizerFast, requests: list[Request]
):
    bare = Path(shutil.copytree(checkpoint, tmp_path / "bare"))
    (bare / "generation_config.json").unlink()
    means = {"dtype": "float32", "attention": "sdpa", "batch_tokens": 4096}
    outputs = [
        run(TransformersBackend.load(str(folder), tokenizer, **means), requests)
        for folder in (checkpoint, bare)
    ]
    assert outputs[0] == outputs[1]


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        (Request((), GREEDY, 8), "a prompt without tokens"),
        (Request((2,) * 250, GREEDY, 8), "exceeds the 256 positions .* prompt.max_length to 256"),
    ],
)
def test_a_prompt_that_the_model_cannot_read_is_refused(
    backend: TransformersBackend, request_: Request, sentence: str
):
    with pytest.raises(InputError, match=sentence):
        run(backend, [request_])


def test_a_model_with_windows_of_attention_is_refused(tokenizer: PreTrainedTokenizerFast):
    config = MistralConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=48, num_hidden_layers=1,
        num_attention_heads=4, num_key_value_heads=4, sliding_window=8,
        eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    windowed = TransformersBackend(MistralForCausalLM(config).eval(), tokenizer, 4096)
    with pytest.raises(InputError, match="generation.backend vllm or endpoint"):
        run(windowed, [Request((2, 5, 6), GREEDY, 4)])


_SIZE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
_HEADS = {"intermediate_size": 48, "num_key_value_heads": 4}
_LATENT = {
    "kv_lora_rank": 8, "q_lora_rank": 8, "qk_rope_head_dim": 4, "qk_nope_head_dim": 4,
    "v_head_dim": 8, "first_k_dense_replace": 2,
}  # fmt: skip
_NEO = {"hidden_size": 32, "num_layers": 2, "num_heads": 4, "attention_types": [[["global"], 2]]}
_CAPPED = {"head_dim": 8, "attn_logit_softcapping": 1.0, "layer_types": ["full_attention"] * 2}


@pytest.mark.parametrize(
    ("family", "changes", "detail"),
    [
        (FalconConfig, _SIZE, ""),
        (BloomConfig, _SIZE, ""),
        (GPTNeoConfig, _NEO, ""),
        (DeepseekV3Config, _SIZE | _HEADS | _LATENT, ""),
        (Gemma2Config, _SIZE | _HEADS | _CAPPED, "softcap"),  # it was dropped silently
    ],
)
def test_a_model_that_attends_in_another_way_is_refused_before_generating(
    family: type, changes: dict, detail: str, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
):
    config = family(vocab_size=len(tokenizer), eos_token_id=3, pad_token_id=0, **changes)
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    with pytest.raises(InputError, match=f"generation.backend vllm or endpoint.*{detail}"):
        TransformersBackend.load(
            str(tmp_path), tokenizer, dtype="float32", attention="eager", batch_tokens=1
        )


@pytest.mark.parametrize("family", [LlamaConfig, Qwen2Config, StableLmConfig])
def test_models_that_attend_to_the_whole_text_are_read(
    family: type, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
):
    config = family(vocab_size=len(tokenizer), eos_token_id=3, pad_token_id=0, **_SIZE, **_HEADS)
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    TransformersBackend.load(
        str(tmp_path), tokenizer, dtype="float32", attention="sdpa", batch_tokens=1
    )


def test_a_batch_that_does_not_fit_into_memory_is_halved(
    backend: TransformersBackend,
    requests: list[Request],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    expected = run(backend, requests)
    whole = _Decoding.run

    def three_rows_fit(decoding: _Decoding):
        if len(decoding._requests) > 3:
            raise torch.OutOfMemoryError
        return whole(decoding)

    monkeypatch.setattr(_Decoding, "run", three_rows_fit)
    assert run(backend, requests) == expected
    assert "prompt tokens a batch" in caplog.text


def test_the_next_prompts_start_from_the_configured_limit(
    backend: TransformersBackend, requests: list[Request], monkeypatch: pytest.MonkeyPatch
):
    """The limit counts prompt tokens alone: what fits of long prompts says little of short ones."""
    sizes, whole = [], _Decoding.run

    def the_first_does_not_fit(decoding: _Decoding):
        sizes.append(len(decoding._requests))
        if len(sizes) == 1:
            raise torch.OutOfMemoryError
        return whole(decoding)

    monkeypatch.setattr(_Decoding, "run", the_first_does_not_fit)
    run(backend, requests)
    assert sizes[0] == len(requests) > sizes[1]
    sizes[1:] = []
    run(backend, requests)
    assert sizes[1:] == [len(requests)]


def test_a_single_prompt_that_does_not_fit_is_an_error_with_advice(
    backend: TransformersBackend, requests: list[Request], monkeypatch: pytest.MonkeyPatch
):
    def nothing_fits(decoding: _Decoding):
        raise torch.OutOfMemoryError

    monkeypatch.setattr(_Decoding, "run", nothing_fits)
    with pytest.raises(InputError, match="smaller max_new_tokens"):
        run(backend, requests)


def test_a_checkpoint_that_was_cut_short_is_an_error_that_names_it(
    tmp_path: Path, checkpoint: Path, tokenizer: PreTrainedTokenizerFast
):
    weights = Path(shutil.copytree(checkpoint, tmp_path / "cut")) / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])
    with pytest.raises(InputError, match="the model .*cut cannot be loaded"):
        TransformersBackend.load(
            str(weights.parent), tokenizer, dtype="float32", attention="sdpa", batch_tokens=1
        )


def test_a_missing_checkpoint_is_an_error_that_names_it(
    tmp_path: Path, tokenizer: PreTrainedTokenizerFast
):
    with pytest.raises(InputError, match="nowhere"):
        TransformersBackend.load(
            str(tmp_path / "nowhere"), tokenizer, dtype="float32", attention="sdpa", batch_tokens=1
        )
