"""The backends by name. Each is imported when it is used: a job needs the packages of one."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from reset_tuning.errors import InputError
from reset_tuning.sampling.backend import Backend

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase as Tokenizer

    from reset_tuning.sampling.generation import GenerationJob

TRANSFORMERS, VLLM, ENDPOINT = "transformers", "vllm", "endpoint"


@dataclass(frozen=True)
class Means:
    """How fast the work is done; none of it decides what is generated.

    `batch_tokens` are prompt tokens in one batch, `cpu_ranks` the processes where there is no GPU,
    `gpu_memory` vLLM's share of a GPU; of an endpoint `concurrency` are the requests in flight,
    `api_key_variable` is where its key is read ("none": nowhere), and `ready_minutes` how long a
    server of the job's own may take to start.
    """

    batch_tokens: int
    threads: int = 1
    cpu_ranks: int = 1
    gpu_memory: float = 0.9
    concurrency: int = 16
    api_key_variable: str = "none"
    ready_minutes: float = 30.0

    @classmethod
    def of(cls, resources: Mapping[str, Any]) -> "Means":
        """Take what stands here from all resources of a job, where no number is a fraction."""
        names = {field.name for field in fields(cls)} & resources.keys()
        taken = {name: resources[name] for name in names}
        return cls(**taken | {"gpu_memory": float(taken.get("gpu_memory", cls.gpu_memory))})


@contextmanager
def loaded_backend(job: "GenerationJob", tokenizer: "Tokenizer", device: int) -> Iterator[Backend]:
    """Yield the job's backend on GPU number `device`; raise InputError when it cannot be had."""
    kind, means = job.backend["kind"], job.means
    if kind == TRANSFORMERS:
        from reset_tuning.sampling.transformers_backend import TransformersBackend

        yield TransformersBackend.load(
            job.model_path,
            tokenizer,
            dtype=job.dtype,
            attention=job.attention,
            batch_tokens=means.batch_tokens,
            threads=means.threads,
            device=device,
        )
    elif kind == VLLM:
        from reset_tuning.sampling.vllm_backend import VllmBackend

        yield VllmBackend.load(
            job.model_path,
            tokenizer,
            dtype=job.dtype,
            max_length=job.max_length,
            batch_tokens=means.batch_tokens,
            gpu_memory=means.gpu_memory,
            device=device,
        )
    elif kind == ENDPOINT:
        from reset_tuning.sampling.endpoint_backend import endpoint_backend

        name = endpoint_model(job)
        with endpoint_backend(job.backend, job.model_path, name, tokenizer, means) as backend:
            yield backend
    else:
        names = ", ".join((TRANSFORMERS, VLLM, ENDPOINT))
        raise InputError(f"generation.backend is {kind!r}; allowed: {names}")


def endpoint_model(job: "GenerationJob") -> str:
    """Return the name of a job's checkpoint at a server: no two checkpoints may share one."""
    template = job.backend.get("model")
    if template is None:
        if "command" in job.backend:
            return job.model_path
        template = "{run}-seed-{seed}-{checkpoint}"
    return template.format(run=job.run, seed=job.seed, checkpoint=job.checkpoint)
