"""Generation with vLLM, for GPUs where it is installed (envs/vllm.yaml): same requests, same rows.

Written against the interface of vLLM 0.10 and later. The requests of a prompt follow one another,
and vLLM's prefix cache reads the prompt once for all of them. vLLM repeats a seed only as long as
its batches are the same: rows are paired by request, but their texts are not promised to the bit.
"""

import os
from collections.abc import Iterator, Sequence
from typing import Any

from transformers import AutoConfig, GenerationConfig
from transformers import PreTrainedTokenizerBase as Tokenizer

from reset_tuning.errors import InputError
from reset_tuning.sampling.backend import LENGTH, STOP, Completed, Completion, Request, Setting
from reset_tuning.sampling.texts import decoded, ends_of

# Batches of the transformers backend that are handed over at once: vLLM schedules them itself, and
# what is handed over is what a killed job loses.
_BATCHES_AT_ONCE = 16

# What torchrun sets for a rank; vLLM would take it for a group of its own.
_RANK_VARIABLES = (
    "RANK",
    "LOCAL_RANK",
    "WORLD_SIZE",
    "LOCAL_WORLD_SIZE",
    "MASTER_ADDR",
    "MASTER_PORT",
)


class VllmBackend:
    """Decodes requests with a vLLM engine; `parameters` is vLLM's SamplingParams."""

    def __init__(
        self,
        engine: Any,
        parameters: type,
        tokenizer: Tokenizer,
        ends: set[int],
        vocabulary: int,
        batch_tokens: int,
    ) -> None:
        self._engine, self._parameters, self._vocabulary = engine, parameters, vocabulary
        self._tokenizer, self._ends = tokenizer, ends
        self._tokens_at_once = _BATCHES_AT_ONCE * batch_tokens

    @classmethod
    def load(
        cls,
        path: str,
        tokenizer: Tokenizer,
        *,
        dtype: str,
        max_length: int,
        batch_tokens: int,
        gpu_memory: float,
        device: int = 0,
    ) -> "VllmBackend":
        """Load a checkpoint folder or a hub model onto GPU number `device` of the job.

        Raises InputError when vLLM is not installed or refuses the model.
        """
        _take_device(device)
        try:
            from vllm import LLM, SamplingParams
        except ImportError as error:
            raise InputError(
                f"generation.backend is vllm, which is not installed here ({error}): start with "
                "--sdm conda, which installs envs/vllm.yaml, or set generation.backend to "
                "transformers"
            ) from error
        try:
            engine = LLM(
                model=path,
                dtype=dtype,
                max_model_len=max_length,
                enable_prefix_caching=True,
                gpu_memory_utilization=gpu_memory,
                generation_config="vllm",  # the checkpoint's own would set parameters unasked
                seed=0,
            )
        except (OSError, ValueError, RuntimeError) as error:
            raise InputError(f"vLLM cannot load the model {path}: {error}") from error
        vocabulary = AutoConfig.from_pretrained(path).get_text_config().vocab_size
        ends = _end_tokens(path, tokenizer)
        return cls(engine, SamplingParams, tokenizer, ends, vocabulary, batch_tokens)

    def generate(self, requests: Sequence[Request]) -> Iterator[list[Completed]]:
        """Yield completions, the longest prompts first and a few batches at a time."""
        pending = sorted(range(len(requests)), key=lambda index: -len(requests[index].prompt_ids))
        while pending:
            n, n_tokens = 0, 0
            while n < len(pending) and n_tokens < self._tokens_at_once:
                n_tokens += len(requests[pending[n]].prompt_ids)
                n += 1
            yield self._complete(pending[:n], requests)
            pending = pending[n:]

    def _complete(self, indices: Sequence[int], requests: Sequence[Request]) -> list[Completed]:
        """Decode some requests; outputs come in the order of what is handed over."""
        asked = [
            (index, {"prompt_token_ids": list(requests[index].prompt_ids)}, parameters)
            for index in indices
            for parameters in self._settings(requests[index])
        ]
        _, prompts, parameters = map(list, zip(*asked, strict=True))
        outputs = self._engine.generate(prompts, parameters, use_tqdm=False)
        completions: dict[int, list[Completion]] = {index: [] for index in indices}
        for (index, prompt, used), output in zip(asked, outputs, strict=True):
            # The pairing is checked and not trusted: a skipped prompt would shift all others.
            if list(output.prompt_token_ids) != prompt["prompt_token_ids"]:
                raise InputError("vLLM answered another prompt than the one asked in its place")
            completions[index].append(self._completion(output.outputs[0], used))
        return [(index, tuple(completions[index])) for index in indices]

    def _settings(self, request: Request) -> list[Any]:
        return [self._setting(setting, request.max_new_tokens) for setting in request.settings]

    def _setting(self, setting: Setting, max_new_tokens: int) -> Any:
        """Return vLLM's parameters with nothing left to a default that may change."""
        return self._parameters(
            n=1,
            temperature=setting.temperature,
            top_k=setting.top_k,  # 0 is off
            top_p=1.0,
            min_p=0.0,
            repetition_penalty=1.0,
            seed=setting.seed if setting.temperature > 0 else None,
            max_tokens=max_new_tokens,
            stop_token_ids=sorted(self._ends),
            detokenize=False,
        )

    def _completion(self, output: Any, used: Any) -> Completion:
        """Return a completion with the parameters that vLLM's own object holds after its checks.

        That object knows no vocabulary, so a top-k above it, which has no effect, is cut here.
        """
        tokens = list(output.token_ids)
        if tokens and tokens[-1] in self._ends:
            tokens.pop()
        if output.finish_reason not in (STOP, LENGTH):
            raise InputError(f"vLLM ended an output by {output.finish_reason!r}: start again")
        text = decoded(self._tokenizer, tokens)
        top_k = min(max(0, int(used.top_k)), self._vocabulary) if used.temperature > 0 else 0
        return Completion(text, len(tokens), output.finish_reason, float(used.temperature), top_k)


def _take_device(device: int) -> None:
    """Leave this process one of the job's GPUs, and hide that it is one of several ranks."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = visible.split(",") if visible else []
    os.environ["CUDA_VISIBLE_DEVICES"] = names[device] if device < len(names) else str(device)
    for name in _RANK_VARIABLES:
        os.environ.pop(name, None)


def _end_tokens(path: str, tokenizer: Tokenizer) -> set[int]:
    """Return the ids that end an answer, as the transformers backend finds them."""
    try:
        declared = GenerationConfig.from_pretrained(path).eos_token_id
    except OSError:  # a checkpoint without a generation config
        declared = AutoConfig.from_pretrained(path).eos_token_id
    return ends_of(declared, tokenizer)
